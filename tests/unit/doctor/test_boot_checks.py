"""Findings on what an engine with nftables needs at boot."""

from dataclasses import replace

from dockeripv6mapper.doctor import boot_checks
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.engine_config import EngineInfo
from dockeripv6mapper.model import Link
from tests.unit import builders
from tests.unit.builders import UPLINK, facts
from tests.unit.doctor.builders import ENGINE_28, ENGINE_29_NFTABLES, HE_IPV6, doctor_facts, problems
from tests.unit.rulesets import BRIDGE

HOST = replace(
    builders.host(), links={"eth0": UPLINK, BRIDGE: Link(BRIDGE, 10, neighbour_discovery=True, kind="bridge")}
)


def check(engine: EngineInfo = ENGINE_29_NFTABLES, forwarding: str = "") -> list[Finding]:
    """The findings on a host with one network. `forwarding`: its value in a file of sysctl.d."""
    system = facts(networks=(HE_IPV6,), of_host=HOST)
    system = replace(system, sysctls={"conf/eth0/accept_ra": "2", "conf/default/accept_ra": "1"})
    at_boot = {"conf/all/forwarding": forwarding} if forwarding else {}
    return list(boot_checks.check(doctor_facts(system, engine=engine, boot_sysctls=at_boot)))


def test_an_engine_with_nftables_needs_forwarding_at_boot() -> None:
    """The fix is a file that keeps the default routes by router advertisements."""
    (finding,) = problems(check())
    assert finding.fix.splitlines()[1] == (
        "printf '%s\\n' 'net.ipv6.conf.eth0.accept_ra = 2' 'net.ipv6.conf.default.accept_ra = 2' "
        "'net.ipv6.conf.all.forwarding = 1' 'net.ipv4.ip_forward = 1' "
        "> /etc/sysctl.d/90-DockerIPV6Mapper.conf"
    )
    assert problems(check(forwarding="0"))
    (fine,) = check(forwarding="1")
    assert fine.level is Level.OK


def test_an_engine_with_iptables_switches_forwarding_on_itself() -> None:
    """So nothing has to be said."""
    assert check(ENGINE_28) == []
