"""Proxy entries made by the mapper's own table, in a host's namespace: what becomes of each, as JSON.

python -m tests.lab.proxy_entry_writer STATE_DIR [--without LINK] ADDRESS,LINK …

A link that is to be `--without` is looked at and then removed, before the entries on it are added.
"""

import argparse
import json
import subprocess
import sys
from ipaddress import IPv6Address
from pathlib import Path

from pyroute2 import IPRoute

from dockeripv6mapper.kernel.proxies import ProxyTable
from dockeripv6mapper.kernel.topology import observe_topology
from dockeripv6mapper.model import ProxyEntry


def main() -> None:
    """Add the entries, and print what was done, found and failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--without")
    parser.add_argument("entries", nargs="+")
    given = parser.parse_args()
    pairs = [each.partition(",") for each in given.entries]
    entries = [ProxyEntry(IPv6Address(address), link) for address, _, link in pairs]
    with IPRoute() as rtnetlink:
        links = observe_topology(rtnetlink).links
    if given.without:
        subprocess.run(("ip", "link", "del", given.without), check=True)
    table = ProxyTable(given.state_dir / "proxies")
    outcome = table.add(entries, links)
    table.close()
    json.dump(
        {
            "done": [str(each.address) for each in outcome.done],
            "found": [str(each.address) for each in outcome.found],
            "failed": {str(each.address): str(error) for each, error in outcome.failed.items()},
            "hints": [error.hint for error in outcome.failed.values()],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
