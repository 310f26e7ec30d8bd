"""A host's topology as the mapper's own observer sees it between changes: as JSON, one for each look.

python -m tests.lab.observing [CHANGES …]

CHANGES are lines for `ip -6 -batch`, made before a look; the first look comes before any, when all is quiet.
"""

import json
import subprocess
import sys

from dockeripv6mapper.kernel.uplinks import TopologyObserver
from tests.lab.waiting import eventually


def main(*changes: str) -> None:
    """Look, change, look again."""
    observer = TopologyObserver()
    eventually(lambda: observer.observe() is observer.observe())
    before = None
    looks = []
    for change in ("", *changes):
        subprocess.run(("ip", "-6", "-batch", "-"), input=change, text=True, check=True)
        seen = observer.observe()
        looks.append(
            {
                "read": seen is not before,
                "links": sorted(seen.links),
                "uplinks": seen.default_route_links,
                "addresses": sorted(str(each) for each in seen.addresses if not each.is_link_local),
            }
        )
        before = seen
    observer.close()
    json.dump(looks, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
