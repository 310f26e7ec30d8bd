"""The outlook: what is plain enough to be answered at once, and what is left to the passes."""

from dataclasses import replace

import pytest

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.mapping.outlook import Outlook
from dockeripv6mapper.model import Container
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER, NGINX, container

CREATED = replace(container(network="he_ipv6", network_mode=None), image="busybox:lab")
OUTLOOK = Outlook(
    settings=Settings(),
    networks=Networks([builders.network()]),
    images={"busybox:lab": {}},
    host=builders.host(),
    taken=frozenset({NGINX}),
    exposed=frozenset(),
    images_as_of=1,
    connects=0,
)


def test_a_container_of_a_known_image_is_to_be_connected_at_its_address() -> None:
    """All that it takes is in the event and in the outlook."""
    expected = Connect(CREATED.id, CREATED.name, HE_IPV6_ID, HE_IPV6, MON_CONTAINER)
    assert OUTLOOK.connect(CREATED) == expected


UNCLEAR = {
    "its image is not known": (CREATED, replace(OUTLOOK, images={})),
    "its image is gone": (CREATED, replace(OUTLOOK, images={"busybox:lab": None})),
    "the label is the image's": (CREATED, replace(OUTLOOK, images={"busybox:lab": CREATED.labels})),
    "somebody has the address": (CREATED, replace(OUTLOOK, taken=frozenset({MON_CONTAINER}))),
    "more is open there than it wants": (CREATED, replace(OUTLOOK, exposed=frozenset({MON_CONTAINER}))),
    "the host has the address": (
        CREATED,
        replace(OUTLOOK, host=builders.host(addresses=frozenset({MON_CONTAINER}))),
    ),
    "there is no such network": (CREATED, replace(OUTLOOK, networks=Networks())),
    "the network is not allowed": (
        CREATED,
        replace(OUTLOOK, settings=Settings(allow_networks=frozenset({"other"}))),
    ),
    "the suffix cannot be read": (
        replace(CREATED, labels={**CREATED.labels, "ipv6.mapper.suffix": "xyz"}),
        OUTLOOK,
    ),
    "no label asks for it": (replace(CREATED, labels={}), OUTLOOK),
}


@pytest.mark.parametrize(("created", "outlook"), UNCLEAR.values(), ids=UNCLEAR.keys())
def test_what_is_not_plain_is_left_to_the_passes(created: Container, outlook: Outlook) -> None:
    """Nothing is asked for that may have to be taken back."""
    assert outlook.connect(created) is None
