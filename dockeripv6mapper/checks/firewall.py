"""The firewall: what it takes to open ports by label, and who else drops packets."""

import json
from collections.abc import Iterator

from dockeripv6mapper.checks.examined import Examined
from dockeripv6mapper.checks.finding import Finding, fail, ok, warn
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.settings import FirewallMode

SUBJECT = "firewall"
NEEDED = ("nft", "ip6tables")
NFTABLES = "nftables"


def check(examined: Examined) -> Iterator[Finding]:
    """Everything that ports by label need, where any label names ports."""
    asking = [
        container.name
        for containers in examined.labelled().values()
        for container in containers
        if labels.PORTS in container.labels
    ]
    if not asking or examined.settings.firewall is FirewallMode.OFF:
        return
    yield from _tools(examined)
    yield from _engine_backend(examined)
    yield from _others(examined)


def _tools(examined: Examined) -> Iterator[Finding]:
    missing = [tool for tool in NEEDED if tool not in examined.surroundings.tools]
    for tool in missing:
        yield fail(
            "tool",
            SUBJECT,
            f"the command {tool} is not installed",
            why="a label asks for ports, and without it none can be opened",
            fix="apt-get install -y nftables iptables",
        )
    if not missing:
        yield ok("tool", SUBJECT, f"{' and '.join(NEEDED)} are installed")


def _engine_backend(examined: Examined) -> Iterator[Finding]:
    engine, mark = examined.surroundings.engine, examined.settings.fwmark
    if engine is None or engine.firewall_backend != NFTABLES:
        return
    if mark in examined.surroundings.engine_accepts:
        yield ok("engine-firewall", SUBJECT, f"the engine's tables of nftables accept the mark {mark:#x}")
        return
    option = {"bridge-accept-fwmark": f"{mark:#x}/{mark:#x}"}
    yield fail(
        "engine-firewall",
        SUBJECT,
        f"the engine filters with nftables, and none of its rules accepts the mark {mark:#x}",
        why="with that backend no rule of ours can let in what a label opens; the engine has to be told",
        fix=f"# add to /etc/docker/daemon.json: {json.dumps(option)[1:-1]}\nsystemctl restart docker",
    )


def _others(examined: Examined) -> Iterator[Finding]:
    """Chains of somebody else's: each of them has the last word on what it drops."""
    mark = examined.settings.fwmark
    for chain in examined.surroundings.dropping:
        if mark in chain.marks:
            yield ok("nftables", SUBJECT, f"chain {chain} drops by policy, and accepts the mark {mark:#x}")
            continue
        yield warn(
            "nftables",
            SUBJECT,
            f"chain {chain} drops what its rules do not accept, and none accepts the mark {mark:#x}",
            why="what a label opens may be dropped there",
            fix=f"nft insert rule {chain} meta mark and {mark:#x} == {mark:#x} accept",
        )
