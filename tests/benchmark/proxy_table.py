"""Filling the kernel's table of proxy entries, ours against iproute2's: run in a host's namespace.

python -m tests.benchmark.proxy_table COUNT LINK

Prints two times in seconds: ours, and that of `ip -6 -batch`.
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


def took(action: Callable[[], object]) -> float:
    """How long something takes, in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main(count: str, link: str) -> None:
    """Fill the table from empty: once for nobody, then for either.

    Whoever fills a table first takes the kernel less than half the time, whether it is we or `ip`: most
    likely since what it walks through lies side by side in memory then.
    """
    entries = [ProxyEntry(SUBNET[number], link) for number in range(1, int(count) + 1)]
    batch = "".join(f"neigh add proxy {entry.address} dev {link}\n" for entry in entries)
    with tempfile.TemporaryDirectory() as state_dir:
        kernel = Kernel(Path(state_dir))
        kernel.observe()
        kernel.add_proxies(entries)
        kernel.remove_proxies(entries)
        ours = took(lambda: kernel.add_proxies(entries))
        kernel.remove_proxies(entries)
        theirs = took(lambda: subprocess.run(("ip", "-6", "-batch", "-"), input=batch, text=True, check=True))
        kernel.remove_proxies(entries)
        kernel.close()
    print(ours, theirs)


if __name__ == "__main__":
    main(*sys.argv[1:])
