"""The host as a tree: its uplinks, and the networks that labels name with their containers."""

from collections.abc import Iterable, Mapping

from rich.text import Text
from rich.tree import Tree

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Link, RefusedError
from dockeripv6mapper.report.status import Row, address_of, refusal_of, uplink_as_json


def as_tree(
    host: str,
    found: Iterable[Row],
    facts: Facts,
    uplinks: Iterable[Link],
    sysctls: Mapping[str, str | None],
) -> Tree:
    """Uplinks first; a container hangs on the network that its label means, there or not."""
    tree = Tree(Text(host))
    for link in uplinks:
        tree.add(Text(_uplink(link, sysctls)))
    branches: dict[str, Tree] = {}
    for row in found:
        network = _network(row, facts)
        if network not in branches:
            branches[network] = tree.add(Text(network))
        branches[network].add(Text(_container(row)))
    if not branches:
        tree.add(Text(f"no container carries the label {labels.NETWORK}"))
    return tree


def _uplink(link: Link, sysctls: Mapping[str, str | None]) -> str:
    if not link.neighbour_discovery:
        return f"uplink {link.name}, without neighbour discovery"
    state = uplink_as_json(link, sysctls)
    return " ".join([f"uplink {state.pop('name')}", *(f"{key}={value}" for key, value in state.items())])


def _network(row: Row, facts: Facts) -> str:
    reference = row.container.labels.get(labels.NETWORK, "").strip()
    try:
        network = facts.networks.find(reference)
    except RefusedError as no:
        if reference and not facts.networks.complete:
            return f"network {labels.shown(reference)}, which is not among those that can be read"
        return no.refusal.detail if reference else "no network named"
    return " ".join([f"network {labels.plain(network.name)}", *map(str, network.subnets)])


def _container(row: Row) -> str:
    said = f"{row.container.name} {address_of(row)} {row.state.value}"
    if row.refusal is not None:
        return f"{said}: {refusal_of(row.refusal)}"
    if row.proxied:
        said += f", proxied on {' '.join(row.proxied)}"
    if row.open:
        said += f", open {' '.join(opening.ports for opening in row.open)}"
    return said
