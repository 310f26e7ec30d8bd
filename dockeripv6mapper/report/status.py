"""`status`: each labelled container with wanted and actual address, uplinks, open ports, or the refusal.

Decided by the daemon's code from one observation, so it is also correct while no daemon runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.default_routes import Outgoing, is_chosen_by_user
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.reachability import Access, Inbound, Reachability, best_access, shown
from dockeripv6mapper.mapping.state import State, actual_address, state
from dockeripv6mapper.model import AddressMapping, Container, Link, Opening, Reason, Refusal, RefusedError

REMEDIES = {
    Reason.INVALID_LABEL: "create the container again with a label that can be read",
    Reason.IMAGE_GONE: "create the container again from an image that is there",
    Reason.NETWORK_NOT_FOUND: "docker network create --ipv6 --subnet PREFIX::/80 NETWORK",
    Reason.NETWORK_AMBIGUOUS: "name the network by its ID",
    Reason.NETWORK_NOT_ALLOWED: "run the mapper with --allow-network NETWORK",
    Reason.NETWORK_WITHOUT_IPV6: "create the network again with --ipv6 --subnet PREFIX::/80",
    Reason.NETWORK_PREDEFINED: "create a network of your own, and name it in the label",
    Reason.NETWORK_ACCEPTS_NO_ADDRESS: "create the network again with --ipv6 --subnet PREFIX::/80",
    Reason.NETWORK_UNSUPPORTED: "create a bridge network, and name it in the label",
    Reason.ADDRESS_NOT_ACCEPTED: "another ipv6.mapper.suffix, or another network",
    Reason.MAC_ADDRESS: "create the container again without --network NETWORK or without --mac-address",
    Reason.NOT_CONNECTABLE: "create the container again without --network host, none or container:…",
    Reason.SUFFIX_TOO_WIDE: "a shorter ipv6.mapper.suffix, or a larger subnet",
    Reason.SUBNET_ROUTER_ANYCAST: "another ipv6.mapper.suffix",
    Reason.GATEWAY: "another ipv6.mapper.suffix",
    Reason.AUXILIARY: "another ipv6.mapper.suffix",
    Reason.HOST_ADDRESS: "another ipv6.mapper.suffix",
    Reason.NEXT_HOP: "another ipv6.mapper.suffix",
    Reason.ADDRESS_HELD: "another ipv6.mapper.suffix, or remove the other container",
}
"""The remedy for each refusal that is a fault."""


OPEN = "open"
COLUMNS = ("container", "network", "address", "state", "proxied on", OPEN, "from outside")
WIDE = 100
"""Characters of a terminal that has room for all columns."""
LONGEST_REASON = 30
"""Characters of a reason that stands in the table."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled container."""

    container: Container
    identity: str | None
    """What the address is computed from: the name, or a Swarm task's `service.slot`. None: no address."""
    network: str
    wanted: IPv6Address | None
    actual: IPv6Address | None
    state: State
    refusal: Refusal | None
    proxied: tuple[str, ...]
    open: tuple[Opening, ...]
    outgoing: IPv6Address | None = None
    """The source address of its packets to the outside; None: not known, or it does not run mapped."""
    sends: str = ""
    """What the user should know of that address; empty: it is the mapped one."""
    sends_by_choice: bool = False
    """Whether the user chose that it is another one."""
    inbound: Mapping[str, Inbound] = field(default_factory=dict)
    """What gets in from outside, by uplink; empty where the container does not run at its address."""

    @property
    def from_outside(self) -> str | None:
        """What gets in from outside, in words."""
        return shown(self.inbound) if self.inbound else None

    @property
    def is_well(self) -> bool:
        """Whether the user need do nothing: mapped, and something may get in; or its refusal is no fault."""
        if self.refusal is not None:
            return not self.refusal.reason.is_fault
        sends_well = self.outgoing in (None, self.actual) or self.sends_by_choice
        lets_in = not self.inbound or best_access(self.inbound) is not Access.NOTHING
        return self.state is State.MAPPED and sends_well and lets_in


def rows(
    facts: Facts,
    desired: Desired,
    outgoing: Outgoing | None = None,
    reachability: Reachability | None = None,
) -> list[Row]:
    """A row for each container with the label `ipv6.mapper.network`, sorted by name.

    Without `outgoing` or `reachability`, what they show is left out.
    """
    containers = facts.containers.values()
    all_rows = (_row(container, facts, desired, outgoing or {}, reachability) for container in containers)
    return sorted((row for row in all_rows if row), key=lambda row: row.container.name)


def as_json(
    rows: Iterable[Row],
    uplinks: Mapping[Link, str],
    sysctls: Mapping[str, str | None],
) -> dict[str, Any]:
    """`{"uplinks": [{name, proxy_ndp, …}], "uplink_reasons": {name: …}, "containers": [{id, name, …}]}`.

    `uplinks`: each with why it is one.
    """
    return {
        "uplinks": [_uplink(link, sysctls) for link in uplinks],
        "uplink_reasons": {link.name: why for link, why in uplinks.items()},
        "containers": [
            {
                "id": row.container.id,
                "name": row.container.name,
                "network": row.network,
                "address": _text(row.wanted),
                "actual": _text(row.actual),
                "outgoing": _text(row.outgoing),
                "state": row.state.value,
                "reason": row.refusal.reason.value if row.refusal else None,
                "detail": row.refusal.detail if row.refusal else None,
                "proxied": list(row.proxied),
                "ports": [opening.ports for opening in row.open],
                "from_outside": row.from_outside,
            }
            for row in rows
        ],
    }


def _uplink(link: Link, sysctls: Mapping[str, str | None]) -> dict[str, str | None]:
    """An uplink's name, and the sysctls that proxying needs on it; None for a sysctl that does not exist."""
    return {
        "name": link.name,
        "proxy_ndp": sysctls.get(f"conf/{link.name}/proxy_ndp"),
        "forwarding": _forwarding(link, sysctls),
        "accept_ra": sysctls.get(f"conf/{link.name}/accept_ra"),
    }


def _forwarding(link: Link, sysctls: Mapping[str, str | None]) -> str | None:
    """The value of the host where it is not 1, else of the link: the kernel answers only with both."""
    of_host = sysctls.get("conf/all/forwarding")
    return of_host if of_host != "1" else sysctls.get(f"conf/{link.name}/forwarding", of_host)


def as_table(rows: Iterable[Row], *, width: int = WIDE) -> Group:
    """A line for each container; below the table, each refusal with its remedy, and each long reason.

    On a terminal narrower than `WIDE`, the ports that labels open are left out: those that get in are shown.
    """
    notes: list[Text] = []
    # Users copy addresses: on a narrow terminal, other columns are wrapped instead.
    columns = [Column(name, overflow="fold", no_wrap=name == "address") for name in COLUMNS]
    wide = width >= WIDE
    table = Table(*(each for each in columns if wide or each.header != OPEN), box=None, pad_edge=False)
    for row in rows:
        outside, reason = _outside(row)
        ports = " ".join(opening.ports for opening in row.open) or "-"
        table.add_row(
            Text(row.container.name),
            Text(labels.plain(row.network)),
            Text(_address(row)),
            _state(row),
            " ".join(row.proxied) or "-",
            *([ports] if wide else []),
            Text(outside),
        )
        if row.refusal is not None:
            notes.append(Text(f"{row.container.name}: {_refusal(row.refusal)}"))
        if reason:
            notes.append(Text(f"{row.container.name}: {reason}"))
    return Group(table, *notes)


def _outside(row: Row) -> tuple[str, str]:
    """What gets in from outside, for the table, and a note below it where that is long."""
    text = row.from_outside or "-"
    if len(text) <= LONGEST_REASON or all(each.access is Access.SOME for each in row.inbound.values()):
        return text, ""
    short = " ".join(dict.fromkeys(each.access.value for each in row.inbound.values()))
    return short, f"from outside {text}"


def as_tree(
    host: str,
    rows: Iterable[Row],
    facts: Facts,
    uplinks: Mapping[Link, str],
    sysctls: Mapping[str, str | None],
) -> Tree:
    """Uplinks first, each with why it is one, then networks with their containers.

    A network that a label names is a branch even where it does not exist.
    """
    tree = Tree(Text(host))
    for link, why in uplinks.items():
        tree.add(Text(f"{_uplink_branch(link, sysctls)} ({why})"))
    branches: dict[str, Tree] = {}
    for row in rows:
        network = _network_branch(row, facts)
        if network not in branches:
            branches[network] = tree.add(Text(network))
        branches[network].add(Text(_container_leaf(row)))
    if not branches:
        tree.add(Text(f"no container carries the label {labels.NETWORK}"))
    return tree


def _address(row: Row) -> str:
    """The actual address, and the wanted one if it differs."""
    if row.actual and row.wanted and row.actual != row.wanted:
        return f"{row.actual}, not {row.wanted}"
    return _text(row.actual or row.wanted) or "-"


def _refusal(refusal: Refusal) -> str:
    """The refusal's detail and reason, and its remedy if there is one."""
    remedy = REMEDIES.get(refusal.reason)
    text = f"{refusal.detail} [{refusal.reason.value}]"
    return f"{text}; try: {remedy}" if remedy else text


def _state(row: Row) -> str:
    return f"{row.state.value}, {row.sends}" if row.sends else row.state.value


def _row(
    container: Container,
    facts: Facts,
    desired: Desired,
    outgoing: Outgoing,
    reachability: Reachability | None,
) -> Row | None:
    # None where the label is missing, or is the image's own.
    decision = desired.decision(container.id)
    if decision is None:
        return None
    label = container.labels.get(labels.NETWORK, "")
    refusal = decision if isinstance(decision, Refusal) else None
    wanted = decision.address if isinstance(decision, AddressMapping | Refusal) else None
    actual = actual_address(container, wanted)
    return Row(
        container=container,
        identity=decision.identity if isinstance(decision, AddressMapping) else None,
        network=decision.network if isinstance(decision, AddressMapping) else label,
        wanted=wanted,
        actual=actual,
        state=state(container, decision),
        refusal=refusal,
        proxied=tuple(sorted(entry.uplink for entry in facts.host.entries if entry.address == actual)),
        open=tuple(sorted(opening for opening in facts.host.openings if opening.address == actual)),
        outgoing=outgoing.get(container.id),
        sends=_sends(container.id, wanted, outgoing),
        sends_by_choice=isinstance(decision, AddressMapping)
        and is_chosen_by_user(container, decision, facts),
        inbound=reachability.of(container, decision) if reachability else {},
    )


def _sends(container_id: str, wanted: IPv6Address | None, outgoing: Outgoing) -> str:
    """From which other address a container sends; empty: from its mapped one, or it does not run mapped."""
    if container_id not in outgoing or outgoing[container_id] == wanted:
        return ""
    return f"sends from {outgoing[container_id] or 'an unknown address'}"


def _text(address: IPv6Address | None) -> str | None:
    return None if address is None else str(address)


def _uplink_branch(link: Link, sysctls: Mapping[str, str | None]) -> str:
    if not link.neighbour_discovery:
        return f"uplink {link.name}, without neighbour discovery"
    state = _uplink(link, sysctls)
    return " ".join([f"uplink {state.pop('name')}", *(f"{key}={value}" for key, value in state.items())])


def _network_branch(row: Row, facts: Facts) -> str:
    reference = row.container.labels.get(labels.NETWORK, "").strip()
    try:
        network = facts.networks.find(reference)
    except RefusedError as error:
        if reference and not facts.networks.complete:
            return f"network {labels.shown(reference)}: not found, but not all networks can be read"
        return error.refusal.detail if reference else "the label names no network"
    return " ".join([f"network {labels.plain(network.name)}", *map(str, network.subnets)])


def _container_leaf(row: Row) -> str:
    text = f"{row.container.name} {_address(row)} {_state(row)}"
    if row.refusal is not None:
        return f"{text}: {_refusal(row.refusal)}"
    if row.proxied:
        text += f", proxied on {' '.join(row.proxied)}"
    if row.open:
        text += f", open {' '.join(opening.ports for opening in row.open)}"
    if row.from_outside:
        text += f", from outside {row.from_outside}"
    return text
