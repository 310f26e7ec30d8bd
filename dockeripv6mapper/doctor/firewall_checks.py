"""Firewall: checks what opening ports by label needs, and finds other programs' chains that drop packets."""

from collections.abc import Iterator

from dockeripv6mapper.doctor import mark_checks
from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, fail, ok, warn
from dockeripv6mapper.doctor.fixes import operands, quoted
from dockeripv6mapper.firewall_rules import NFT_COMMAND
from dockeripv6mapper.kernel.nft_ruleset import BEFORE_FILTER_PRIORITY
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.netfilter import Verdict
from dockeripv6mapper.mapping.rule_matches import PING
from dockeripv6mapper.settings import FirewallMode

SUBJECT = "firewall"
NEEDED_TOOLS = ("nft", "ip6tables")
ENGINE_SETTINGS = "/etc/docker/daemon.json"


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Findings on the firewall. Most of them only if a label or an option has ports opened or closed."""
    yield from _engine_rules(facts)
    if not _opens_or_closes(facts):
        return
    yield from _tools(facts)
    yield from _engine_backend(facts)
    yield from _dropping_chains(facts)
    yield from mark_checks.check(facts)


def _opens_or_closes(facts: DoctorFacts) -> bool:
    """Whether a label or an option has ports opened or closed."""
    if facts.settings.firewall is FirewallMode.OFF:
        return False
    labelled = [container for containers in facts.labelled_containers().values() for container in containers]
    if facts.settings.firewall is FirewallMode.CLOSED:
        return bool(labelled)
    return any(labels.PORTS in facts.effective_labels(container) for container in labelled)


def _engine_rules(facts: DoctorFacts) -> Iterator[Finding]:
    """Whether another program has flushed the engine's rules. The engine writes them only when it starts."""
    links = facts.system.host.links
    if facts.engine_rules is None or not any(each.bridge in links for each in facts.system.networks):
        return
    if facts.engine_rules:
        yield ok("engine-rules", SUBJECT, "forwarded packets pass the engine's own rules")
        return
    yield fail(
        "engine-rules",
        SUBJECT,
        "the engine's own ip6tables rules are gone, or FORWARD no longer jumps to them",
        why="another program flushed them: published ports and the isolation of networks do not work, and "
        "what the engine would drop gets in, or nothing does; the engine restores them only when it starts",
        fix="# this restarts the engine, and with it its containers, unless it has `live-restore`:\n"
        "systemctl restart docker",
    )


def _tools(facts: DoctorFacts) -> Iterator[Finding]:
    missing = [tool for tool in NEEDED_TOOLS if tool not in facts.tools]
    for tool in missing:
        yield fail(
            "tool",
            SUBJECT,
            f"the command {tool} is not installed",
            why="without it no port can be opened or closed",
            fix="apt-get install -y nftables iptables",
        )
    if not missing:
        yield ok("tool", SUBJECT, f"{' and '.join(NEEDED_TOOLS)} are installed")


def _engine_backend(facts: DoctorFacts) -> Iterator[Finding]:
    engine, mark = facts.engine, facts.settings.fwmark
    if engine is None or not engine.filters_with_nftables:
        return
    if mark in facts.engine_accepted_marks:
        yield ok("engine-firewall", SUBJECT, f"the engine's nftables tables accept the mark {mark:#x}")
        return
    yield fail(
        "engine-firewall",
        SUBJECT,
        f"the engine filters with nftables, and none of its rules accepts the mark {mark:#x}",
        why="with that backend no rule of the mapper can open a port: the engine has to accept the mark",
        fix=_set_option("bridge-accept-fwmark", f"{mark:#x}/{mark:#x}"),
    )


def _set_option(name: str, value: str) -> str:
    """The commands that add an option to the engine's settings, if the engine accepts the new file."""
    script = (
        f"import json, pathlib; old = pathlib.Path('{ENGINE_SETTINGS}'); "
        "options = json.loads(old.read_text()) if old.exists() else {}; "
        f"print(json.dumps(options | {{'{name}': '{value}'}}, indent=2))"
    )
    new = f"{ENGINE_SETTINGS}.new"
    return (
        "# this restarts the engine, and with it its containers, unless it has `live-restore`:\n"
        f"python3 -c {quoted(script)} > {new} && dockerd --validate --config-file {new} && "
        f"mv {new} {ENGINE_SETTINGS} && systemctl restart docker"
    )


def _dropping_chains(facts: DoctorFacts) -> Iterator[Finding]:
    """Chains of other programs: a packet that one of them drops is lost, whatever other chains accept."""
    mark = facts.settings.fwmark
    for chain in facts.dropping_chains:
        if chain.priority < BEFORE_FILTER_PRIORITY:
            yield warn(
                "nftables",
                SUBJECT,
                f"chain {chain} drops what its rules do not accept, at priority {chain.priority}, at which "
                "packets do not carry the mapper's mark yet",
                why="packets to ports that a label opens may be dropped there",
                fix="# where the chain is defined, set its priority to 0, and begin it with this rule:\n"
                f"# meta mark and {mark:#x} == {mark:#x} accept",
            )
            continue
        if mark in chain.marks:
            yield ok("nftables", SUBJECT, f"chain {chain} drops by policy, and accepts the mark {mark:#x}")
            continue
        yield warn(
            "nftables",
            SUBJECT,
            f"chain {chain} drops what its rules do not accept, and none accepts the mark {mark:#x}",
            why="packets to ports that a label opens may be dropped there, and so may pings",
            fix="\n".join(
                f"nft insert rule {operands([chain.family, chain.table, chain.name])} {match} accept"
                for match in (f"meta mark and {mark:#x} == {mark:#x}", *_pings(facts))
            ),
        )


def _pings(facts: DoctorFacts) -> Iterator[str]:
    """The matches of ICMPv6 to the networks that containers are mapped to."""
    for network in facts.relevant_networks():
        if network.subnets:
            yield f"ip6 daddr {network.subnets[0]} meta l4proto {PING}"


def is_reported(facts: DoctorFacts, verdict: Verdict) -> bool:
    """Whether a finding on the chain whose policy dropped a packet is among those of `check`."""
    return (
        verdict.command == NFT_COMMAND
        and verdict.rule is None
        and _opens_or_closes(facts)
        and any(
            str(chain) == f"{verdict.table} {verdict.chain}" and facts.settings.fwmark not in chain.marks
            for chain in facts.dropping_chains
        )
    )
