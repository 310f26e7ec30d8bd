"""Findings on the firewall: what opening ports by label needs."""

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dockeripv6mapper.doctor import firewall_checks
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.firewall_rules import BaseChain
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Link
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.unit import builders
from tests.unit.builders import IMAGE, facts
from tests.unit.doctor.builders import ENGINE_29_NFTABLES, HE_IPV6, doctor_facts, mapped, problems
from tests.unit.rulesets import BRIDGE

SERVING = mapped(ports="80")
TOOLS = frozenset(firewall_checks.NEEDED_TOOLS)
BIT = 0x01000000


def check(
    container: Container = SERVING, settings: Settings | None = None, **others: object
) -> list[Finding]:
    """The findings on the firewall of a host with one mapped container."""
    system = facts(container, networks=(HE_IPV6,))
    return list(firewall_checks.check(doctor_facts(system, settings=settings, **others)))  # type: ignore[arg-type]


def test_a_missing_tool_is_named() -> None:
    """Without `nft` and `ip6tables` no port can be opened."""
    (finding,) = problems(check(tools=frozenset({"ip6tables"})))
    assert finding.found == "the command nft is not installed"


@pytest.mark.parametrize(
    ("container", "mode", "has_findings"),
    [
        (SERVING, FirewallMode.ENGINE, True),
        (SERVING, FirewallMode.OFF, False),
        (mapped(), FirewallMode.ENGINE, False),
        (mapped(), FirewallMode.CLOSED, True),
        (builders.container(ports="80"), FirewallMode.ENGINE, False),
    ],
    ids=["ports", "off", "no ports", "closed", "ports of no address"],
)
def test_the_firewall_is_checked_only_if_ports_are_opened_or_closed(
    container: Container, mode: FirewallMode, *, has_findings: bool
) -> None:
    """Otherwise a user would be told to install tools that are not needed."""
    assert bool(check(container, Settings(firewall=mode))) is has_findings


def test_a_ports_label_of_the_image_does_not_have_the_firewall_checked() -> None:
    """An image must not be able to have a user change the firewall."""
    images = {IMAGE: {"ipv6.mapper.ports": "80"}}
    system = facts(SERVING, networks=(HE_IPV6,), images=images)
    assert not list(firewall_checks.check(doctor_facts(system)))


def test_an_engine_that_filters_with_nftables_must_accept_the_mark() -> None:
    """Its nftables tables show whether it does. With firewalld the backend has another name."""
    (finding,) = problems(check(engine=ENGINE_29_NFTABLES, tools=TOOLS))
    assert (finding.check, finding.level) == ("engine-firewall", Level.FAIL)
    assert not problems(check(engine=ENGINE_29_NFTABLES, tools=TOOLS, engine_accepted_marks=frozenset({BIT})))


def test_the_fix_keeps_the_engines_settings_and_validates_them_before_the_restart(tmp_path: Path) -> None:
    """It adds one option to the existing file, or creates the file."""
    (finding,) = problems(check(engine=ENGINE_29_NFTABLES, tools=TOOLS))
    caution, command = finding.fix.split("\n")
    assert caution.startswith("# this restarts the engine")
    write, validate, move, restart = command.split(" && ")
    assert shlex.split(validate) == ["dockerd", "--validate", "--config-file", "/etc/docker/daemon.json.new"]
    assert (move.split()[0], restart) == ("mv", "systemctl restart docker")
    settings = tmp_path / "daemon.json"
    for before in (None, {"ipv6": True}):
        if before:
            settings.write_text(json.dumps(before))
        subprocess.run(["sh", "-c", write.replace("/etc/docker", str(tmp_path))], check=True)
        written = json.loads((tmp_path / "daemon.json.new").read_text())
        assert written == {**(before or {}), "bridge-accept-fwmark": "0x1000000/0x1000000"}


def test_another_programs_chain_that_drops_must_accept_the_mark_and_pings() -> None:
    """The chain's name is quoted in the fix."""
    chain = BaseChain("inet", "fire$(reboot)", "forward")
    (finding,) = problems(check(tools=TOOLS, dropping_chains=(chain,)))
    assert finding.fix == (
        "nft insert rule inet 'fire$(reboot)' forward meta mark and 0x1000000 == 0x1000000 accept\n"
        "nft insert rule inet 'fire$(reboot)' forward "
        "ip6 daddr 2001:db8:103:0:78::/80 meta l4proto ipv6-icmp accept"
    )
    accepting = replace(chain, marks=frozenset({BIT}))
    assert not problems(check(tools=TOOLS, dropping_chains=(accepting,)))


def test_a_chain_that_drops_before_packets_are_marked_needs_another_priority() -> None:
    """Accepting the mark there would have no effect."""
    chain = BaseChain("inet", "mine", "forward", frozenset({BIT}), priority=-12)
    (finding,) = problems(check(tools=TOOLS, dropping_chains=(chain,)))
    assert "at priority -12" in finding.found
    assert not problems(check(tools=TOOLS, dropping_chains=(replace(chain, priority=-11),)))


@pytest.mark.parametrize("firewall", FirewallMode)
def test_flushed_rules_of_the_engine_are_a_failure(firewall: FirewallMode) -> None:
    """Whatever the mapper's own mode. Not where the engine's bridges are in another network namespace."""
    settings = Settings(firewall=firewall)
    here = facts(
        SERVING,
        networks=(HE_IPV6,),
        of_host=builders.host(builders.UPLINK, Link(BRIDGE, 3, neighbour_discovery=True)),
    )

    def check(system: Facts, *, engine_rules: bool | None) -> list[Finding]:
        others: dict[str, object] = {"settings": settings, "engine_rules": engine_rules, "tools": TOOLS}
        return problems(firewall_checks.check(doctor_facts(system, **others)))  # type: ignore[arg-type]

    (finding,) = check(here, engine_rules=False)
    assert (finding.check, finding.level) == ("engine-rules", Level.FAIL)
    assert finding.fix.splitlines()[-1] == "systemctl restart docker"
    assert not check(here, engine_rules=True)
    assert not check(here, engine_rules=None)
    assert not check(facts(SERVING, networks=(HE_IPV6,)), engine_rules=False)
