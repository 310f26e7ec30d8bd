"""Adds proxy entries with the mapper's `ProxyTable`, in a host's namespace; prints the results as JSON.

python -m tests.lab.proxy_entry_writer STATE_DIR [--without LINK] ADDRESS,LINK …

`--without LINK` deletes the link after the links were read and before the entries are added.
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
    """Add the entries, and print which were added, which existed, and which failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--without")
    parser.add_argument("entries", nargs="+")
    options = parser.parse_args()
    pairs = [each.partition(",") for each in options.entries]
    entries = [ProxyEntry(IPv6Address(address), link) for address, _, link in pairs]
    with IPRoute() as rtnetlink:
        links = observe_topology(rtnetlink).links
    if options.without:
        subprocess.run(("ip", "link", "del", options.without), check=True)
    table = ProxyTable(options.state_dir / "proxies")
    outcome = table.add(entries, links)
    table.close()
    json.dump(
        {
            "done": [str(each.address) for each in outcome.done],
            "existing": [str(each.address) for each in outcome.foreign],
            "failed": {str(each.address): str(error) for each, error in outcome.failed.items()},
            "hints": [error.hint for error in outcome.failed.values()],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
