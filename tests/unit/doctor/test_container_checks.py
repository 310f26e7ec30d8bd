"""Findings on containers: labels, refusals, and the probability of a collision."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.doctor import container_checks
from dockeripv6mapper.doctor.finding import Finding
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import HE_IPV6_ID, IMAGE, container, facts
from tests.unit.doctor.builders import CONFIG, HE_IPV6, ON_LINK, doctor_facts, problems


def check(
    *existing: Container,
    network: Network = HE_IPV6,
    settings: Settings | None = None,
    images: dict[str, str] | None = None,
) -> list[Finding]:
    """The findings on these containers."""
    system = facts(
        *existing, networks=(network,), images={IMAGE: images or {}}, of_host=builders.host(on_link=ON_LINK)
    )
    config = replace(CONFIG, pools=(replace(CONFIG.pools[0], subnet=str(network.subnets[0])),))
    return list(
        container_checks.check(doctor_facts(system, settings=settings, network_configs={HE_IPV6_ID: config}))
    )


def labelled(labels: dict[str, str]) -> Container:
    """A container with these labels of the mapper."""
    return container("web", other_labels={f"ipv6.mapper.{label}": value for label, value in labels.items()})


def test_a_mapped_container_is_ok_with_its_address() -> None:
    """The finding names the address that the container gets."""
    (finding,) = check(container("nginx", network="he_ipv6"))
    assert finding.found == "gets the address 2001:db8:103:0:78:ee:43:40"


@pytest.mark.parametrize(
    ("labels", "check_", "text"),
    [
        ({"network": "he_ipv6", "sufix": "5"}, "label", "did you mean ipv6.mapper.suffix?"),
        ({"suffix": "5"}, "label", "does nothing without ipv6.mapper.network"),
        ({"network": "he_ipv6", "suffix": "wxyz"}, "mapping", "[invalid-label]"),
        ({"network": "he_ipv6", "suffix": "1"}, "mapping", "[gateway]"),
        ({"network": "he_ipv6", "ports": "80-79"}, "ports", "ipv6.mapper.ports='80-79'"),
    ],
)
def test_a_bad_label_is_one_finding(labels: dict[str, str], check_: str, text: str) -> None:
    """The finding names the container, and the fix runs it again."""
    (finding,) = problems(check(labelled(labels)))
    assert (finding.check, finding.subject) == (check_, "container web")
    assert text in finding.found
    assert "docker stop web && docker rm web" in finding.fix


@pytest.mark.parametrize("label", ["sufix", "ports", "proxy"])
def test_labels_of_an_image_are_ignored(label: str) -> None:
    """The publisher of an image must not be able to have a user remove containers."""
    web = labelled({"network": "he_ipv6", label: "nonsense"})
    findings = check(web, images={f"ipv6.mapper.{label}": "nonsense"})
    assert not problems(findings)
    assert any("comes from the image" in each.found for each in findings)


def test_the_fix_for_a_network_that_is_not_allowed_keeps_the_allowed_ones() -> None:
    """It names the network by its name, even if the label has its ID."""
    web = container("web", network=HE_IPV6_ID[:12])
    settings = Settings(allow_networks=frozenset({"it's"}))
    (finding,) = problems(check(web, settings=settings))
    options = """--allow-network 'it'"'"'s' --allow-network he_ipv6"""
    assert finding.fix.split("\n") == [
        f"DockerIPV6Mapper.py {options} doctor",
        f"# and give the daemon the same: {options}",
    ]


def names(count: int) -> tuple[Container, ...]:
    """Containers that differ only in their names."""
    return tuple(container(f"c{number}", network="he_ipv6") for number in range(count))


def test_the_fix_for_a_likely_collision_is_the_wide_scheme_if_that_has_more_bits() -> None:
    """A comment ahead of the commands says that addresses change."""
    fix = problems(check(*names(700)))[0].fix.split("\n")
    assert fix[0].startswith("# this changes its containers' addresses")
    make = next(line for line in fix if line.startswith("docker network create")).split(" || ")[0]
    assert "--label ipv6.mapper.scheme=wide" in make
    assert "--subnet 2001:db8:103:0:78::/80" in make


def test_the_fix_for_a_likely_collision_in_a_small_subnet_is_another_subnet() -> None:
    """No scheme gets more than six bits out of a /122."""
    small = replace(HE_IPV6, subnets=(IPv6Network("2001:db8:103:0:78::/122"),))
    (finding,) = (each for each in problems(check(*names(3), network=small)) if each.check == "collisions")
    assert "the chance that two of 3 names hash to the same 6 bits is 0.05" in finding.found
    assert "--subnet 2001:db8:103:0:1::/80" in finding.fix


def test_containers_with_a_suffix_label_do_not_count_for_collisions() -> None:
    """A single name without such a label cannot collide either."""
    chosen = tuple(container(f"s{number}", network="he_ipv6", suffix=f"{number:x}") for number in range(2, 9))
    assert not any(each.check == "collisions" for each in check(*chosen, *names(1)))
