"""Laws of the address rules, for any name, label, subnet and network."""

from ipaddress import IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.addressing import suffix_text
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.resolution import resolve
from dockeripv6mapper.model import Container, Host, Mapping, Network, Refusal
from dockeripv6mapper.settings import Scheme, Settings
from tests.property.strategies import containers_on, hosts, label_text, names, networks, subnets
from tests.unit import builders


@given(networks(), names(), label_text() | st.none(), st.sampled_from(Scheme), hosts())
def test_an_address_is_inside_its_subnet_and_on_nothing_reserved(
    network: Network, name: str, suffix: str | None, scheme: Scheme, host: Host
) -> None:
    """Whatever is asked for: a mapping is a usable address, and anything else a refusal."""
    asked = {} if suffix is None else {labels.SUFFIX: suffix}
    which = builders.container(name, network=network.name, other_labels=asked)
    facts = builders.facts(which, networks=(network,), of_host=host)
    decision = resolve(which, facts, Settings(scheme=scheme))
    if isinstance(decision, Mapping):
        subnet = network.subnets[0]
        assert decision.address in subnet
        assert decision.address != subnet.network_address
        reserved = network.gateways | network.auxiliary | host.addresses | host.next_hops
        assert decision.address not in reserved
    else:
        assert isinstance(decision, Refusal)
        assert decision.detail


@given(st.dictionaries(st.sampled_from(labels.CONTAINER_LABELS) | label_text(), label_text(), max_size=6))
def test_no_label_raises_anything_but_a_refusal(given_labels: dict[str, str]) -> None:
    """Labels are untrusted text."""
    which = builders.container(other_labels=given_labels, running=True)
    facts = builders.facts(which)
    desired = Desired(Settings())
    desired.update(facts, [which.id])
    assert isinstance(desired.decision(which.id), Mapping | Refusal | None)
    desired.entries(facts, which.id)
    labels.oddities(given_labels, labels.CONTAINER_LABELS)


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_a_suffix_survives_being_written_and_read(suffix: int) -> None:
    """What `suffix_text` writes, `parse_suffix` reads."""
    assert labels.parse_suffix(suffix_text(suffix)) == suffix


@given(names(), subnets(), st.sampled_from(Scheme))
def test_the_address_depends_on_nothing_but_identity_and_network(
    name: str, subnet: IPv6Network, scheme: Scheme
) -> None:
    """Two containers of one identity, years apart, come to the same decision."""
    network = builders.network(subnet=subnet)
    first, second = (
        builders.container(name, network="he_ipv6", container_id=each, created=created)
        for each, created in (("a", 1), ("b", 2_000_000_000))
    )
    facts = builders.facts(first, second, networks=(network,))
    settings = Settings(scheme=scheme)
    assert resolve(first, facts, settings) == resolve(second, facts, settings)


@given(st.lists(containers_on(builders.network()), max_size=8, unique_by=lambda each: each.id))
def test_no_two_identities_are_given_one_address(which: list[Container]) -> None:
    """However many want it, run with it, or are configured with it."""
    facts = builders.facts(*which)
    desired = Desired(Settings())
    desired.update(facts, facts.containers)
    holders: dict[IPv6Address, str] = {}
    for container in which:
        decision = desired.decision(container.id)
        if isinstance(decision, Mapping):
            assert holders.setdefault(decision.address, decision.identity) == decision.identity


@given(st.lists(containers_on(builders.network()), max_size=8, unique_by=lambda each: each.id), st.data())
def test_updates_one_by_one_decide_as_all_at_once(which: list[Container], data: st.DataObject) -> None:
    """The order in which containers become known makes no difference, nor do ones that came and went."""
    facts = builders.facts(*which)
    at_once = Desired(Settings())
    at_once.update(facts, facts.containers)
    passing = builders.container("passing", network="he_ipv6", created=0)
    one_by_one = Desired(Settings())
    one_by_one.update(builders.facts(passing, *which), [passing.id])
    for container in data.draw(st.permutations(which)):
        one_by_one.update(facts, [container.id])
    one_by_one.update(facts, [passing.id])
    for container in which:
        assert one_by_one.decision(container.id) == at_once.decision(container.id)
        assert one_by_one.entries(facts, container.id) == at_once.entries(facts, container.id)
