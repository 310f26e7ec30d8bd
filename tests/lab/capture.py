"""A capture of Neighbour Discovery and echo requests on the segment of the uplinks, read by tcpdump."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from tests.lab.hosts import UPLINK, Host
from tests.lab.router import BRIDGE, Router
from tests.lab.waiting import eventually

FILTER = "icmp6 and (ip6[40] == 128 or ip6[40] == 135 or ip6[40] == 136)"
"""Echo requests, neighbour solicitations and advertisements (RFC 4443, RFC 4861)."""

PACKET = re.compile(
    r"^(?P<at>[\d.]+) (?P<mac>[\da-f:]+) > (?P<to_mac>[\da-f:]+), .*\bhlim (?P<hop_limit>\d+),.*\) "
    r"(?P<source>[\da-f:]+) > (?P<destination>[\da-f:]+): .*ICMP6, "
    r"(?:echo request|neighbor solicitation,.* who has (?P<asked>[\da-f:]+)"
    r"|neighbor advertisement,.* tgt is (?P<told>[\da-f:]+), Flags \[(?P<flags>[a-z, ]+)\])"
    r"(?P<options>(?:.*\n\t.*)*)",
    re.MULTILINE,
)
LINK_LAYER_ADDRESS = re.compile(r"(?:source|destination) link-address option .*: ([\da-f:]{17})")


@dataclass(frozen=True, slots=True)
class Packet:
    """A captured packet."""

    at: float
    """Seconds since the epoch."""
    mac: str
    """Source on Ethernet."""
    to_mac: str
    """Destination on Ethernet."""
    source: IPv6Address
    destination: IPv6Address
    hop_limit: int
    solicited: IPv6Address | None
    """The target of a solicitation."""
    advertised: IPv6Address | None
    """The target of an advertisement."""
    flags: str
    """Of an advertisement: `none`, `override`, `router, solicited`, …"""
    option: str | None
    """The MAC address in its link-layer address option."""

    @property
    def is_claim(self) -> bool:
        """Whether it replaces another MAC address in a router's neighbour cache (RFC 4861 §7.2.3, §7.2.5)."""
        return self.option is not None and (self.solicited is not None or "override" in self.flags)

    @property
    def is_echo_request(self) -> bool:
        """Whether it is an echo request."""
        return self.solicited is None and self.advertised is None


class Capture:
    """The packets that the router's interface on the segment has seen."""

    def __init__(self, output: Path) -> None:
        self._output = output

    @property
    def packets(self) -> list[Packet]:
        """All packets until now, in their order."""
        return [_packet(match) for match in PACKET.finditer(self._output.read_text())]

    def announcements(self, address: IPv6Address) -> list[Packet]:
        """The probes for an address, its advertisements, and the solicitations from it.

        Without the answers to a solicitation, which the kernel sends.
        """
        return [
            each
            for each in self.packets
            if (each.advertised == address and "solicited" not in each.flags)
            or (each.source == address and each.solicited is not None)
            or (each.solicited == address and each.source.is_unspecified)
        ]

    def claims(self, address: IPv6Address) -> list[Packet]:
        """Those of them that replace another MAC address in a router's neighbour cache."""
        return [each for each in self.announcements(address) if each.source == address and each.is_claim]


@contextmanager
def captured(router: Router, workdir: Path) -> Iterator[Capture]:
    """Capture for the duration of the context."""
    output, errors = workdir / "capture", workdir / "capture.errors"
    argv = router.namespace.nsenter("tcpdump", "-U", "-l", "-tt", "-nevv", "-i", BRIDGE, FILTER)
    with (
        output.open("w") as stdout,
        errors.open("w") as stderr,
        subprocess.Popen(argv, stdout=stdout, stderr=stderr) as process,
    ):
        try:
            eventually(lambda: "listening on" in errors.read_text())
            yield Capture(output)
        finally:
            process.kill()


def mac_of(host: Host, link: str = UPLINK) -> str:
    """Return the MAC address of a host's link."""
    (shown,) = json.loads(host.namespace.run("ip", "-j", "link", "show", "dev", link).stdout)
    return str(shown["address"])


def _packet(match: re.Match[str]) -> Packet:
    option = LINK_LAYER_ADDRESS.search(match["options"] or "")
    return Packet(
        at=float(match["at"]),
        mac=match["mac"],
        to_mac=match["to_mac"],
        source=IPv6Address(match["source"]),
        destination=IPv6Address(match["destination"]),
        hop_limit=int(match["hop_limit"]),
        solicited=IPv6Address(match["asked"]) if match["asked"] else None,
        advertised=IPv6Address(match["told"]) if match["told"] else None,
        flags=match["flags"] or "",
        option=option[1] if option else None,
    )
