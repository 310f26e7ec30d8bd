"""A UDP echo server, which busybox lacks. Run it in a container's network namespace.

python -m tests.lab.udp_echo 53 8053        → prints `ready` when all ports are bound
"""

import selectors
import socket
import sys

LONGEST = 65535
"""Bytes of the longest datagram."""


def main() -> None:
    """Echo on the ports given as arguments, until killed."""
    with selectors.DefaultSelector() as selector:
        for port in sys.argv[1:]:
            server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            server.bind(("::", int(port)))
            selector.register(server, selectors.EVENT_READ, server)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select():
                datagram, sender = key.data.recvfrom(LONGEST)
                key.data.sendto(datagram, sender)


if __name__ == "__main__":
    main()
