"""A UDP echo server, since busybox has none. Run in a container's network namespace, as a program of its own.

python -m tests.lab.udp_echo 53 8053        → `ready`, once all ports are bound
"""

import selectors
import socket
import sys

LONGEST = 65535
"""Octets of the longest datagram."""


def main() -> None:
    """Echo on the ports that the command line names, until killed."""
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
