"""A port scan: which ports of an address let a packet through. Run in a namespace, as a program of its own.

    python -m tests.lab.port_scan ADDRESS tcp 1,80,443        → the ports that were reached, one a line

A port was reached where somebody accepts, echoes, or refuses: silence and "prohibited" are a firewall's.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence

SILENCE_SECONDS = 1.0
"""How long an answer may take on one machine."""
AT_ONCE = 500


async def reached(address: str, protocol: str, ports: Sequence[int]) -> list[int]:
    """Try all ports, many at a time."""
    probe = _tcp if protocol == "tcp" else _udp
    slots = asyncio.Semaphore(AT_ONCE)

    async def try_one(port: int) -> bool:
        async with slots:
            try:
                return await asyncio.wait_for(probe(address, port), SILENCE_SECONDS)
            except ConnectionRefusedError:
                return True
            except (OSError, TimeoutError):
                return False

    found = await asyncio.gather(*map(try_one, ports))
    return [port for port, yes in zip(ports, found, strict=True) if yes]


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
    """Scan what the command line names, and print what was reached."""
    address, protocol, ports = sys.argv[1:]
    found = asyncio.run(reached(address, protocol, [int(port) for port in ports.split(",")]))
    sys.stdout.writelines(f"{port}\n" for port in found)


if __name__ == "__main__":
    main()
