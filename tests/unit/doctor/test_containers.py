"""Labels and refusals of containers, and the chance of a collision."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.doctor import containers
from dockeripv6mapper.doctor.finding import Finding
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import HE_IPV6_ID, IMAGE, container, facts
from tests.unit.doctor.builders import CONFIG, HE_IPV6, ON_LINK, doctor_facts, problems


def check(
    *given: Container,
    network: Network = HE_IPV6,
    settings: Settings | None = None,
    images: dict[str, str] | None = None,
) -> list[Finding]:
    """The findings on these containers."""
    system = facts(
        *given, networks=(network,), images={IMAGE: images or {}}, of_host=builders.host(on_link=ON_LINK)
    )
    config = replace(CONFIG, pools=(replace(CONFIG.pools[0], subnet=str(network.subnets[0])),))
    return list(
        containers.check(doctor_facts(system, settings=settings, network_configs={HE_IPV6_ID: config}))
    )


def labelled(labels: dict[str, str]) -> Container:
    """A container with these labels of the mapper's."""
    return container("web", other_labels={f"ipv6.mapper.{label}": value for label, value in labels.items()})


def test_a_mapped_container_is_well() -> None:
    """It is said where it is to be."""
    (finding,) = check(container("nginx", network="he_ipv6"))
    assert finding.found == "is to be at 2001:db8:103:0:78:ee:43:40"


@pytest.mark.parametrize(
    ("labels", "check_", "said"),
    [
        ({"network": "he_ipv6", "sufix": "5"}, "label", "did you mean ipv6.mapper.suffix?"),
        ({"suffix": "5"}, "label", "does nothing without ipv6.mapper.network"),
        ({"network": "he_ipv6", "suffix": "wxyz"}, "mapping", "[invalid-label]"),
        ({"network": "he_ipv6", "suffix": "1"}, "mapping", "[gateway]"),
        ({"network": "he_ipv6", "ports": "80-79"}, "ports", "ipv6.mapper.ports='80-79'"),
    ],
)
def test_what_is_wrong_with_a_label_is_said(labels: dict[str, str], check_: str, said: str) -> None:
    """With the container's name, and one finding for it."""
    (finding,) = problems(check(labelled(labels)))
    assert (finding.check, finding.subject) == (check_, "container web")
    assert said in finding.found
    assert "docker stop web && docker rm web" in finding.fix


@pytest.mark.parametrize("label", ["sufix", "ports", "proxy"])
def test_labels_of_an_image_are_no_fault_of_the_container(label: str) -> None:
    """Whoever publishes an image must not have anybody remove containers."""
    web = labelled({"network": "he_ipv6", label: "nonsense"})
    found = check(web, images={f"ipv6.mapper.{label}": "nonsense"})
    assert not problems(found)
    assert any("is its image's own" in each.found for each in found)


def test_a_network_that_is_not_allowed_is_named_with_those_that_are() -> None:
    """By the name that it has, however the label names it."""
    web = container("web", network=HE_IPV6_ID[:12])
    settings = Settings(allow_networks=frozenset({"it's"}))
    (finding,) = problems(check(web, settings=settings))
    options = """--allow-network 'it'"'"'s' --allow-network he_ipv6"""
    assert finding.fix.split("\n") == [
        f"DockerIPV6Mapper.py {options} doctor",
        f"# and give the daemon the same: {options}",
    ]


def names(count: int) -> tuple[Container, ...]:
    """Containers that only their names tell apart."""
    return tuple(container(f"c{number}", network="he_ipv6") for number in range(count))


def test_a_likely_collision_is_cured_by_the_scheme_where_that_leaves_bits_out() -> None:
    """And it is said that the addresses change, before they do."""
    fix = problems(check(*names(700)))[0].fix.split("\n")
    assert fix[0].startswith("# this changes its containers' addresses")
    make = next(line for line in fix if line.startswith("docker network create")).split(" || ")[0]
    assert "--label ipv6.mapper.scheme=wide" in make
    assert "--subnet 2001:db8:103:0:78::/80" in make


def test_a_likely_collision_in_a_small_subnet_is_cured_by_another() -> None:
    """No scheme makes more of six bits."""
    small = replace(HE_IPV6, subnets=(IPv6Network("2001:db8:103:0:78::/122"),))
    (finding,) = (each for each in problems(check(*names(3), network=small)) if each.check == "collisions")
    assert "the chance that two of 3 names come to the same 6 bits is 0.05" in finding.found
    assert "--subnet 2001:db8:103:0:1::/80" in finding.fix


def test_containers_that_chose_their_suffix_take_part_in_no_lottery() -> None:
    """Nor does one alone."""
    chosen = tuple(container(f"s{number}", network="he_ipv6", suffix=f"{number:x}") for number in range(2, 9))
    assert not any(each.check == "collisions" for each in check(*chosen, *names(1)))
