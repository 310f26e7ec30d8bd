"""A port scan: which ports of an address are not filtered. Run it inside a network namespace.

    python -m tests.lab.port_scan ADDRESS tcp 1,80,443        → the reachable ports, one a line

A port is reachable if it accepts, echoes or refuses. A timeout or an ICMPv6 "prohibited" means a firewall.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence

SILENCE_SECONDS = 1.0
"""Timeout of one port."""
CONCURRENT_PROBES = 500


async def reachable(address: str, protocol: str, ports: Sequence[int]) -> list[int]:
    """Probe all ports, up to `CONCURRENT_PROBES` at the same time; return the reachable ones."""
    probe = _tcp if protocol == "tcp" else _udp
    slots = asyncio.Semaphore(CONCURRENT_PROBES)

    async def try_one(port: int) -> bool:
        async with slots:
            try:
                return await asyncio.wait_for(probe(address, port), SILENCE_SECONDS)
            except ConnectionRefusedError:
                return True
            except (OSError, TimeoutError):
                return False

    results = await asyncio.gather(*map(try_one, ports))
    return [port for port, ok in zip(ports, results, strict=True) if ok]


async def _tcp(address: str, port: int) -> bool:
    _, writer = await asyncio.open_connection(address, port)
    writer.close()
    return True


async def _udp(address: str, port: int) -> bool:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect((address, port))
        await loop.sock_sendall(probe, b"echo")
        return await loop.sock_recv(probe, 16) == b"echo"


def main() -> None:
    """Scan the ports given as arguments, and print the reachable ones."""
    address, protocol, ports = sys.argv[1:]
    open_ports = asyncio.run(reachable(address, protocol, [int(port) for port in ports.split(",")]))
    sys.stdout.writelines(f"{port}\n" for port in open_ports)


if __name__ == "__main__":
    main()
