"""What it takes to open ports by label."""

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dockeripv6mapper.doctor import firewall
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.firewall_rules import BaseChain
from dockeripv6mapper.model import Container
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.unit import builders
from tests.unit.builders import IMAGE, facts
from tests.unit.doctor.builders import ENGINE_29_NFTABLES, HE_IPV6, doctor_facts, mapped, problems

SERVING = mapped(ports="80")
TOOLS = frozenset(firewall.NEEDED_TOOLS)
BIT = 0x01000000


def check(
    container: Container = SERVING, settings: Settings | None = None, **others: object
) -> list[Finding]:
    """The findings where one container is mapped."""
    system = facts(container, networks=(HE_IPV6,))
    return list(firewall.check(doctor_facts(system, settings=settings, **others)))  # type: ignore[arg-type]


def test_each_tool_that_is_missing_is_named() -> None:
    """Without them no port is opened."""
    (finding,) = problems(check(tools=frozenset({"ip6tables"})))
    assert finding.found == "the command nft is not installed"


@pytest.mark.parametrize(
    ("container", "mode", "looks"),
    [
        (SERVING, FirewallMode.ENGINE, True),
        (SERVING, FirewallMode.OFF, False),
        (mapped(), FirewallMode.ENGINE, False),
        (mapped(), FirewallMode.CLOSED, True),
        (builders.container(ports="80"), FirewallMode.ENGINE, False),
    ],
    ids=["ports", "off", "no ports", "closed", "ports of no address"],
)
def test_it_is_looked_at_only_where_ports_are_opened_or_closed(
    container: Container, mode: FirewallMode, *, looks: bool
) -> None:
    """Nobody is told to install what nobody needs."""
    assert bool(check(container, Settings(firewall=mode))) is looks


def test_ports_that_are_the_images_own_open_nothing_and_need_nothing() -> None:
    """An image cannot have anybody told to change the firewall."""
    images = {IMAGE: {"ipv6.mapper.ports": "80"}}
    given = facts(SERVING, networks=(HE_IPV6,), images=images)
    assert not list(firewall.check(doctor_facts(given)))


def test_an_engine_that_filters_with_nftables_has_to_be_told_the_mark() -> None:
    """Its tables say whether it was; with firewalld the backend has another name."""
    (finding,) = problems(check(engine=ENGINE_29_NFTABLES, tools=TOOLS))
    assert (finding.check, finding.level) == ("engine-firewall", Level.FAIL)
    assert not problems(check(engine=ENGINE_29_NFTABLES, tools=TOOLS, engine_accepted_marks=frozenset({BIT})))


def test_the_engines_settings_are_kept_and_validated_before_it_restarts(tmp_path: Path) -> None:
    """The script that is pasted adds one option to what is there, or begins the file."""
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


def test_a_chain_of_somebody_elses_that_drops_is_told_the_mark() -> None:
    """Unless it accepts it; whatever it is called, its name stays a word."""
    chain = BaseChain("inet", "fire$(reboot)", "forward")
    (finding,) = problems(check(tools=TOOLS, dropping_chains=(chain,)))
    assert finding.fix == (
        "nft insert rule inet 'fire$(reboot)' forward meta mark and 0x1000000 == 0x1000000 accept"
    )
    accepting = replace(chain, marks=frozenset({BIT}))
    assert not problems(check(tools=TOOLS, dropping_chains=(accepting,)))
