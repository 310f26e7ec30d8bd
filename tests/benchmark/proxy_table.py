"""A program that adds many proxy entries to the kernel's table, in the namespace that it is run in.

python -m tests.benchmark.proxy_table COUNT LINK

Prints two times in seconds: that of the mapper's code, and that of `ip -6 -batch`.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from ipaddress import IPv6Network
from pathlib import Path

from dockeripv6mapper.kernel.host import Kernel
from dockeripv6mapper.model import ProxyEntry

SUBNET = IPv6Network("2001:db8:103:8::/64")


def seconds_of(action: Callable[[], object]) -> float:
    """Run time of `action` in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main(count: str, link: str) -> None:
    """Add all entries three times, each time to an empty table, and time the second and the third.

    The first time takes less than half as long, with either program: most likely because the entries then
    lie next to each other in memory.
    """
    entries = [ProxyEntry(SUBNET[number], link) for number in range(1, int(count) + 1)]
    batch = "".join(f"neigh add proxy {entry.address} dev {link}\n" for entry in entries)
    with tempfile.TemporaryDirectory() as state_dir:
        kernel = Kernel(Path(state_dir))
        kernel.observe()
        kernel.add_proxies(entries)
        kernel.remove_proxies(entries)
        ours = seconds_of(lambda: kernel.add_proxies(entries))
        kernel.remove_proxies(entries)
        theirs = seconds_of(
            lambda: subprocess.run(("ip", "-6", "-batch", "-"), input=batch, text=True, check=True)
        )
        kernel.remove_proxies(entries)
        kernel.close()
    print(ours, theirs)


if __name__ == "__main__":
    main(*sys.argv[1:])
