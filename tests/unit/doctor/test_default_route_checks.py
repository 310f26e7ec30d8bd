"""Findings on the address from which a mapped container sends."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockeripv6mapper.doctor import default_route_checks
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.engine_config import (
    ContainerConfig,
    EndpointConfig,
    EngineInfo,
    NetworkConfig,
    Pool,
)
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import HE_IPV6_ID
from tests.unit.doctor.builders import (
    ADDRESS,
    CONFIG,
    ENGINE_20_10,
    ENGINE_28,
    ENGINE_29_7,
    HE_IPV6,
    doctor_facts,
    mapped,
    problems,
)

OTHER = IPv6Address("fd00:aaaa::2")
AAA = replace(builders.network("aaa", IPv6Network("fd00:aaaa::/64")), ipv4=True)
AAA_CONFIG = NetworkConfig("aaa", "bridge", (Pool("10.1.0.0/24"), Pool("fd00:aaaa::/64")))
OURS = EndpointConfig(ipv6=str(ADDRESS), options={"ipv6.mapper.endpoint": "added"})
WITHOUT_IPV6 = "docker network create --subnet 10.1.0.0/24 aaa"
WITH_PRIORITY = (
    "docker network connect --gw-priority 1 --ip6 2001:db8:103:0:78::5 "
    "--driver-opt ipv6.mapper.endpoint=added he_ipv6 web || true"
)


def check(
    outgoing: IPv6Address | None,
    *,
    engine: EngineInfo = ENGINE_28,
    dual_stack: bool = False,
    other_has_ipv4: bool = True,
    endpoint: EndpointConfig = OURS,
    settings: Settings | None = None,
) -> list[Finding]:
    """The findings on a container that is mapped on `he_ipv6` and is on `aaa`, too."""
    he_ipv6, aaa = replace(HE_IPV6, ipv4=dual_stack), replace(AAA, ipv4=other_has_ipv4)
    web = mapped(network=he_ipv6)
    web = replace(web, endpoints=(*web.endpoints, builders.endpoint(OTHER, of=aaa)))
    facts = doctor_facts(
        builders.facts(web, networks=(he_ipv6, aaa)),
        settings=settings,
        outgoing={web.id: outgoing},
        engine=engine,
        network_configs={HE_IPV6_ID: CONFIG, aaa.id: AAA_CONFIG},
        container_configs={web.id: ContainerConfig(endpoints={"he_ipv6": endpoint})},
    )
    return list(default_route_checks.check(facts))


def test_a_container_that_sends_from_its_mapped_address_is_ok() -> None:
    """And so is one whose user chose another."""
    (finding,) = check(ADDRESS)
    assert (finding.level, finding.check) == (Level.OK, "default-route")
    (chosen,) = check(OTHER, settings=Settings(default_route=False))
    assert chosen.level is Level.OK
    assert f"sends from {OTHER}" in chosen.found


def test_an_unknown_address_is_never_reported_as_fine() -> None:
    """The finding says who can read it."""
    (finding,) = problems(check(None))
    assert "it is unknown from which address" in finding.found
    assert "root" in finding.fix


@pytest.mark.parametrize(
    ("engine", "dual_stack", "other_has_ipv4", "fix"),
    [
        (ENGINE_20_10, True, True, WITHOUT_IPV6),
        (ENGINE_28, False, True, WITHOUT_IPV6),
        (ENGINE_28, True, True, WITH_PRIORITY),
        (ENGINE_28, False, False, WITH_PRIORITY),
        (ENGINE_29_7, False, True, WITH_PRIORITY),
        (replace(ENGINE_29_7, version="29.4.1"), False, True, WITHOUT_IPV6),
        (replace(ENGINE_29_7, version="a build"), False, True, WITHOUT_IPV6),
    ],
)
def test_the_fix_is_a_priority_where_the_engine_heeds_it(
    engine: EngineInfo, *, dual_stack: bool, other_has_ipv4: bool, fix: str
) -> None:
    """Before 29.4.2 a network with both families wins over one with IPv6 alone, whatever their priorities."""
    (finding,) = problems(check(OTHER, engine=engine, dual_stack=dual_stack, other_has_ipv4=other_has_ipv4))
    assert fix in finding.fix
    assert str(ADDRESS) in finding.why


def test_a_users_own_endpoint_is_not_replaced() -> None:
    """It would lose aliases and the like: the container is to be run again."""
    (finding,) = problems(check(OTHER, dual_stack=True, endpoint=EndpointConfig(aliases=("db",))))
    assert "gw-priority=1" in finding.fix
    assert "network disconnect" not in finding.fix
