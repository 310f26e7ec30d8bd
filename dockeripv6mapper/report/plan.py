"""The plan of one pass, and the refusals, as JSON and as a table."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from dockeripv6mapper.actions import EndpointAction, EndpointChange
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.planner import Plan
from dockeripv6mapper.model import ProxyEntry, Refusal


def as_json(plan: Plan, facts: Facts, desired: Desired) -> dict[str, Any]:
    """The plan, with the keys `endpoints`, `proxies`, `ports`, `closed`, `sysctls` and `refusals`.

    All lists in it are empty if there is nothing to do and nothing is refused.
    """
    firewall = plan.firewall
    return {
        "endpoints": [_endpoint(action) for action in plan.endpoints],
        "proxies": {
            "add": [_entry(entry) for entry in plan.proxies.add],
            "remove": [_entry(entry) for entry in plan.proxies.remove],
        },
        "ports": {
            "open": list(map(str, firewall.opened)),
            "close": list(map(str, firewall.closed)),
        },
        "closed": {
            "add": list(map(str, firewall.closed_addresses)),
            "remove": list(map(str, firewall.reopened_addresses)),
        },
        "sysctls": [{"key": change.key, "old": change.old, "new": change.new} for change in plan.sysctls],
        "refusals": [
            {"container": name, "reason": refusal.reason.value, "detail": refusal.detail}
            for name, refusal in _refusals(facts, desired)
        ],
    }


def as_table(plan: Plan, facts: Facts, desired: Desired) -> Table:
    """A line for each action, then one for each refusal."""
    table = Table("action", "what", box=None, pad_edge=False)
    for action in plan.endpoints:
        table.add_row(type(action).__name__.lower(), Text(str(action)))
    for entry in plan.proxies.add:
        table.add_row("proxy", Text(str(entry)))
    for entry in plan.proxies.remove:
        table.add_row("unproxy", Text(str(entry)))
    firewall = plan.firewall
    for opening in firewall.opened:
        table.add_row("open", Text(str(opening)))
    for opening in firewall.closed:
        table.add_row("close", Text(str(opening)))
    for address in firewall.closed_addresses:
        table.add_row("close", Text(f"all other ports of {address}"))
    for address in firewall.reopened_addresses:
        table.add_row("no longer close", Text(f"the other ports of {address}"))
    for change in plan.sysctls:
        table.add_row("sysctl", Text(f"net/ipv6/{change.key}: {change.old} → {change.new}"))
    for name, refusal in _refusals(facts, desired):
        table.add_row("refuse", Text(f"container {name}: {refusal.detail} [{refusal.reason.value}]"))
    return table


def _refusals(facts: Facts, desired: Desired) -> Iterator[tuple[str, Refusal]]:
    for container_id, container in facts.containers.items():
        decision = desired.decision(container_id)
        if isinstance(decision, Refusal) and decision.reason.is_fault:
            yield container.name, decision


def _endpoint(action: EndpointAction) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "action": type(action).__name__.lower(),
        "id": action.container_id,
        "container": action.container,
    }
    if isinstance(action, EndpointChange):
        fields |= {"network": action.network, "address": str(action.address)}
    return fields


def _entry(entry: ProxyEntry) -> dict[str, str]:
    return {"address": str(entry.address), "uplink": entry.uplink}
