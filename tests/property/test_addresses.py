"""Properties of the address rules, for any name, label, subnet and network."""

from ipaddress import IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.addressing import suffix_text
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.proxying import proxy_entries
from dockeripv6mapper.mapping.resolution import resolve
from dockeripv6mapper.model import AddressMapping, Container, Host, Network, Refusal
from dockeripv6mapper.settings import Scheme, Settings
from tests.property.strategies import containers_on, hosts, label_text, names, networks, subnets
from tests.unit import builders


@given(networks(), names(), label_text() | st.none(), st.sampled_from(Scheme), hosts())
def test_an_address_is_in_its_subnet_and_not_reserved(
    network: Network, name: str, suffix: str | None, scheme: Scheme, host: Host
) -> None:
    """Any request leads to a usable address or to a refusal."""
    suffix_label = {} if suffix is None else {labels.SUFFIX: suffix}
    tested = builders.container(name, network=network.name, other_labels=suffix_label)
    facts = builders.facts(tested, networks=(network,), of_host=host)
    decision = resolve(tested, facts, Settings(scheme=scheme))
    if isinstance(decision, AddressMapping):
        subnet = network.subnets[0]
        assert decision.address in subnet
        assert decision.address != subnet.network_address
        reserved = network.gateways | network.auxiliary | host.addresses | host.next_hops
        assert decision.address not in reserved
    else:
        assert isinstance(decision, Refusal)
        assert decision.detail


@given(st.dictionaries(st.sampled_from(labels.CONTAINER_LABELS) | label_text(), label_text(), max_size=6))
def test_any_label_leads_to_a_decision_and_never_to_an_exception(given_labels: dict[str, str]) -> None:
    """Labels are untrusted text."""
    tested = builders.container(other_labels=given_labels, running=True)
    facts = builders.facts(tested)
    desired = Desired(Settings())
    desired.update(facts, [tested.id])
    assert isinstance(desired.decision(tested.id), AddressMapping | Refusal | None)
    proxy_entries(tested, desired.decision(tested.id), facts, Settings())
    labels.ineffective_labels(given_labels, labels.CONTAINER_LABELS)


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_a_written_suffix_is_parsed_to_the_same_suffix(suffix: int) -> None:
    """`parse_suffix` is the inverse of `suffix_text`."""
    assert labels.parse_suffix(suffix_text(suffix)) == suffix


@given(names(), subnets(), st.sampled_from(Scheme))
def test_the_address_depends_on_identity_and_network_only(
    name: str, subnet: IPv6Network, scheme: Scheme
) -> None:
    """Two containers of one identity, created years apart, get the same decision."""
    network = builders.network(subnet=subnet)
    first, second = (
        builders.container(name, network="he_ipv6", container_id=each, created=created)
        for each, created in (("a", 1), ("b", 2_000_000_000))
    )
    facts = builders.facts(first, second, networks=(network,))
    settings = Settings(scheme=scheme)
    assert resolve(first, facts, settings) == resolve(second, facts, settings)


@given(st.lists(containers_on(builders.network()), max_size=8, unique_by=lambda each: each.id))
def test_no_address_is_given_to_two_identities(tested: list[Container]) -> None:
    """However many containers ask for it, have it, or are configured with it."""
    facts = builders.facts(*tested)
    desired = Desired(Settings())
    desired.update(facts, facts.containers)
    holders: dict[IPv6Address, str] = {}
    for container in tested:
        decision = desired.decision(container.id)
        if isinstance(decision, AddressMapping):
            assert holders.setdefault(decision.address, decision.identity) == decision.identity


@given(st.lists(containers_on(builders.network()), max_size=8, unique_by=lambda each: each.id), st.data())
def test_single_updates_decide_the_same_as_one_update_of_all(
    tested: list[Container], data: st.DataObject
) -> None:
    """Neither the order of updates nor containers that came and went make a difference."""
    facts = builders.facts(*tested)
    at_once = Desired(Settings())
    at_once.update(facts, facts.containers)
    transient = builders.container("passing", network="he_ipv6", created=0)
    one_by_one = Desired(Settings())
    one_by_one.update(builders.facts(transient, *tested), [transient.id])
    for container in data.draw(st.permutations(tested)):
        one_by_one.update(facts, [container.id])
    one_by_one.update(facts, [transient.id])
    for container in tested:
        assert one_by_one.decision(container.id) == at_once.decision(container.id)
        assert one_by_one.needs.of(container.id) == at_once.needs.of(container.id)
