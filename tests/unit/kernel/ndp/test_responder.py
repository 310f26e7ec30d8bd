"""Which solicitations the responder may answer. Its thread is tested in the lab."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockeripv6mapper.kernel.ndp.messages import Advertisement, Message, Solicitation, parse, solicited_node
from dockeripv6mapper.kernel.ndp.responder import ProxiedAddresses, target_to_answer
from dockeripv6mapper.kernel.ndp.sockets import Received
from dockeripv6mapper.model import ProxyEntry
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX

ROUTER, ROUTER_MAC = IPv6Address("fe80::1"), bytes.fromhex("020000000001")
LINK = replace(builders.UPLINK, mac=bytes.fromhex("020000000002"))
OTHER_LINK = replace(LINK, name="eth1", index=3)
SOLICITATION = Solicitation(MON_CONTAINER, ROUTER_MAC)

addresses = st.integers(0, (1 << 128) - 1).map(IPv6Address)


def received(message: Message = SOLICITATION, source: IPv6Address = ROUTER) -> Received:
    """Return a message that arrived on `LINK`."""
    return Received(message, source, solicited_node(MON_CONTAINER), LINK.index)


@pytest.mark.parametrize("source", [ROUTER, IPv6Address("2001:470:b080:103::1")])
def test_solicitation_for_a_proxied_address_may_be_answered(source: IPv6Address) -> None:
    """From a link-local and from a global address, with and without a link-layer option."""
    assert target_to_answer(received(source=source), LINK, {MON_CONTAINER}) == MON_CONTAINER
    without = received(Solicitation(MON_CONTAINER), source)
    assert target_to_answer(without, LINK, {MON_CONTAINER}) == MON_CONTAINER


@pytest.mark.parametrize(
    "message",
    [
        received(Solicitation(NGINX, ROUTER_MAC)),
        received(Solicitation(MON_CONTAINER), IPv6Address("::")),
        received(source=IPv6Address("ff02::1")),
        received(source=IPv6Address("::1")),
        received(source=MON_CONTAINER),
        received(Solicitation(MON_CONTAINER, LINK.mac)),
        received(Advertisement(MON_CONTAINER, ROUTER_MAC)),
    ],
    ids=["foreign target", "probe", "multicast source", "loopback", "own source", "own MAC", "advertisement"],
)
def test_other_messages_are_never_answered(message: Received) -> None:
    """Duplicate address detection is the kernel's, and a message of our own may come back from a switch."""
    assert target_to_answer(message, LINK, {MON_CONTAINER}) is None


@given(st.binary(max_size=120), st.integers(0, 255), addresses, addresses)
def test_arbitrary_bytes_are_answered_only_for_a_proxied_address(
    data: bytes, hop_limit: int, source: IPv6Address, destination: IPv6Address
) -> None:
    """Whatever arrives raises nothing."""
    for candidate in (data, b"\x87\0\0\0\0\0\0\0" + MON_CONTAINER.packed + data):
        message = parse(candidate, hop_limit, source, destination)
        if message is not None:
            arrived = Received(message, source, destination, LINK.index)
            assert target_to_answer(arrived, LINK, {MON_CONTAINER}) in (None, MON_CONTAINER)
            assert target_to_answer(arrived, LINK, set()) is None


def test_proxied_addresses_are_those_of_our_own_entries() -> None:
    """By uplink, after an observation and after each change."""
    proxied = ProxiedAddresses()
    links = {each.name: each for each in (LINK, OTHER_LINK)}
    ours, foreign = ProxyEntry(MON_CONTAINER, LINK.name), ProxyEntry(NGINX, LINK.name)
    proxied.replace(
        replace(
            builders.host(),
            links=links,
            default_routers=frozenset({(ROUTER, LINK.name), (ROUTER, "gone")}),
            entries={ours: True, foreign: False},
        )
    )
    assert proxied.targets == {LINK.index: {MON_CONTAINER}}
    assert proxied.routers == {LINK.index: [ROUTER]}
    proxied.add([ProxyEntry(NGINX, OTHER_LINK.name), ProxyEntry(NGINX, "gone")], links)
    assert proxied.targets[OTHER_LINK.index] == {NGINX}
    proxied.remove([ours, foreign, ProxyEntry(NGINX, "gone")], links)
    assert proxied.targets[LINK.index] == set()


def test_a_claimed_address_counts_until_its_entry_is_gone() -> None:
    """From another address the host must not solicit: the router would replace the MAC of its owner."""
    proxied = ProxiedAddresses()
    links, entry = {LINK.name: LINK}, ProxyEntry(MON_CONTAINER, LINK.name)
    proxied.add([entry], links)
    assert not proxied.claimed
    proxied.claim(MON_CONTAINER, LINK)
    proxied.replace(replace(builders.host(), links=links, entries={entry: True}))
    assert proxied.claimed == {LINK.index: {MON_CONTAINER}}
    proxied.remove([entry], links)
    assert proxied.claimed == {LINK.index: set()}
    proxied.claim(MON_CONTAINER, LINK)
    proxied.replace(replace(builders.host(), links=links, entries={}))
    assert proxied.claimed == {LINK.index: set()}


def test_change_of_uplinks_is_notified() -> None:
    """So that the responder listens on a new uplink before the first solicitation comes."""
    proxied = ProxiedAddresses()
    notified: list[set[int]] = []
    proxied.uplinks_changed = lambda: notified.append(set(proxied.targets))
    links = {LINK.name: LINK}
    entry = ProxyEntry(MON_CONTAINER, LINK.name)
    proxied.add([entry], links)
    proxied.add([ProxyEntry(NGINX, LINK.name)], links)
    proxied.replace(replace(builders.host(), links=links, entries={entry: True}))
    assert notified == [{LINK.index}]
    proxied.replace(replace(builders.host(), links=links, entries={}))
    assert notified == [{LINK.index}, set()]
