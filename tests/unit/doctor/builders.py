"""Facts for the tests of `doctor`. Each test names only the facts that it is about."""

import subprocess
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.engine_config import EngineInfo, NetworkConfig, Pool
from dockeripv6mapper.firewall_rules import Ruleset
from dockeripv6mapper.kernel.ip6tables import read_chains
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.rulesets import BRIDGE

ENGINE_20_10 = EngineInfo("20.10.24", (1, 41), pid=4711)
ENGINE_28 = EngineInfo("28.5.2", (1, 51), firewall_backend="iptables", pid=4711)
ENGINE_29_7 = EngineInfo("29.7.1-lab", (1, 51), firewall_backend="iptables", pid=4711)
ENGINE_29_NFTABLES = EngineInfo("29.0.0", (1, 51), firewall_backend="nftables+firewalld", pid=4711)

SUBNET = IPv6Network("2001:db8:103:0:78::/80")
"""The subnet of the network in `rulesets`."""
ADDRESS = IPv6Address("2001:db8:103:0:78::5")
PREFIX = IPv6Network("2001:db8:103::/64")
"""The uplink's on-link prefix."""
ON_LINK = frozenset({(PREFIX, "eth0")})
HE_IPV6 = replace(builders.network(subnet=SUBNET, bridge=BRIDGE), gateway_mode="routed")
CONFIG = NetworkConfig(builders.HE_IPV6, "bridge", (Pool(str(SUBNET)),), ipv4=False)


def mapped(name: str = "web", network: Network = HE_IPV6, **labels: str) -> Container:
    """A container that runs at `ADDRESS` on a network that its label names."""
    endpoint = builders.endpoint(ADDRESS, ADDRESS, of=network)
    all_labels = {"network": network.name, "suffix": "5", **labels}
    other_labels = {f"ipv6.mapper.{label}": value for label, value in all_labels.items()}
    return builders.container(name, running=True, endpoints=(endpoint,), other_labels=other_labels)


def doctor_facts(
    system: Facts, rules: str | None = None, *, settings: Settings | None = None, **others: object
) -> DoctorFacts:
    """The facts of a host with engine 28, whose network `he_ipv6` was created as `CONFIG`.

    `rules`: the output of `ip6tables-save`; None where it cannot be read. `others`: fields of `DoctorFacts`.
    """
    settings = settings or Settings()
    desired = Desired(settings)
    desired.update(system, system.containers)
    chains = {} if rules is None else {"ip6tables": read_chains(rules)}
    facts = DoctorFacts(
        settings=settings,
        system=system,
        desired=desired,
        engine=ENGINE_28,
        network_configs={builders.HE_IPV6_ID: CONFIG},
        chains=chains,
        ruleset=Ruleset(chains, unreadable="" if rules else "no permission"),
    )
    return replace(facts, **others)  # type: ignore[arg-type]


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that are not OK. Each must say why it matters, and have a fix that bash can parse."""
    bad = [each for each in findings if each.level is not Level.OK]
    for finding in bad:
        assert finding.why
        assert finding.fix
        subprocess.run(["bash", "-n", "-c", finding.fix], check=True)
    return bad
