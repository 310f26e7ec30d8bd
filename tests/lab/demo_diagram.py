"""A diagram of one host of the lab, from the router to the containers, with its actual addresses."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Interface

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from tests.lab.hosts import UPLINK, Host
from tests.lab.namespaces import Namespace
from tests.lab.router import BRIDGE
from tests.lab.topology import LINK, Lab

WIDTH = 76
"""Columns of the diagram: fits a terminal of 80."""

LINE_COLUMN = 6
"""Column of the line between router and host."""

COLOURS = ("green", "cyan", "magenta", "blue")
"""The first containers: one colour each, for every occurrence of its address."""


@dataclass(frozen=True, slots=True)
class HostDiagram:
    """The facts in the diagram, as read from kernel and engine."""

    router: IPv6Interface
    host: str
    uplink: IPv6Interface
    bridge: str
    bridge_address: IPv6Interface
    entries: Sequence[IPv6Address]
    containers: Mapping[str, IPv6Address | None]
    """Address by container name; None: not on the network."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wire = " " * LINE_COLUMN + "│  "
        yield from _box("router", [_line(BRIDGE, self.router)], bottom="┬")
        yield Text(f"{wire}{LINK} is on-link for the router, which solicits there:", "dim")
        for address in self.entries[:1]:
            yield Text.assemble((f"{wire}who has ", "dim"), self._coloured(address), ("?", "dim"))
        yield from _box(self.host, list(self._host_lines()), top="┴")

    def _host_lines(self) -> Iterator[Text]:
        yield _line(UPLINK, self.uplink).append(", proxy neighbour entries:", "dim")
        yield from _branches([self._coloured(address) for address in self.entries])
        yield Text()
        yield _line(self.bridge, self.bridge_address).append(", network he_ipv6", "dim")
        yield from _branches([self._container(*each) for each in self.containers.items()])

    def _container(self, name: str, address: IPv6Address | None) -> Text:
        shown = Text("not mapped", "yellow") if address is None else self._coloured(address)
        return Text(f"{name:15}", "bold").append_text(shown)

    def _coloured(self, address: IPv6Address) -> Text:
        colours = dict(zip(self.containers.values(), COLOURS, strict=False))
        return Text(str(address), colours.get(address, ""))


def diagram_of(lab: Lab, host: Host, title: str) -> HostDiagram:
    """Read the state of `host` and the router."""
    network = json.loads(host.engine.docker("network", "inspect", "he_ipv6"))[0]
    bridge = f"br-{network['Id'][:12]}"
    attached = {
        each["Name"]: IPv6Interface(each["IPv6Address"]).ip for each in network["Containers"].values()
    }
    newest_first = host.engine.docker("ps", "--format", "{{.Names}}").split()
    containers = {name: attached.get(name) for name in reversed(newest_first)}
    order = list(containers.values())
    entries = {address for address, _ in host.proxy_entries()}
    return HostDiagram(
        router=_address(lab.router.namespace, BRIDGE),
        host=title,
        uplink=_address(host.namespace, UPLINK),
        bridge=bridge,
        bridge_address=_address(host.namespace, bridge),
        entries=sorted(entries, key=lambda address: order.index(address) if address in order else len(order)),
        containers=containers,
    )


def _address(namespace: Namespace, link: str) -> IPv6Interface:
    shown = json.loads(namespace.run("ip", "-6", "-j", "addr", "show", "dev", link, "scope", "global").stdout)
    address = next(each for interface in shown for each in interface.get("addr_info", ()))
    return IPv6Interface((address["local"], address["prefixlen"]))


def _line(link: str, address: IPv6Interface) -> Text:
    return Text.assemble((link, "bold"), f"  {address}")


def _branches(leaves: Sequence[Text]) -> Iterator[Text]:
    for number, leaf in enumerate(leaves, start=1):
        yield Text.assemble(("  ╰─ " if number == len(leaves) else "  ├─ ", "dim"), leaf)


def _box(title: str, lines: Sequence[Text], top: str = "─", bottom: str = "─") -> Iterator[Text]:
    """Draw a frame around `lines`; `top` and `bottom` are the characters at column `LINE_COLUMN`."""
    inner = WIDTH - 2
    lid = f"{'─' * (LINE_COLUMN - 1)}{top}─"
    yield Text.assemble("╭", lid, (f" {title} ", "bold"), "─" * (inner - len(lid) - len(title) - 2), "╮")
    for line in lines:
        padded = line.copy()
        padded.pad_right(inner - 1 - line.cell_len)
        yield Text.assemble("│ ", padded, "│")
    yield Text.assemble("╰", "─" * (LINE_COLUMN - 1), bottom, "─" * (inner - LINE_COLUMN), "╯")
