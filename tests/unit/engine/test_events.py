"""Events as hints: which container, and what kind of change."""

from dockeripv6mapper.engine.events import (
    Change,
    ContainerChanged,
    ImagesChanged,
    NetworksChanged,
    translate,
)


def test_a_create_event_brings_the_container() -> None:
    """It carries all that a first connect needs."""
    message = translate(
        {
            "Type": "container",
            "Action": "create",
            "Actor": {"ID": "6ba2", "Attributes": {"name": "web", "image": "nginx"}},
            "timeNano": 1_000_000_000,
        }
    )
    assert isinstance(message, ContainerChanged)
    assert message.change is Change.CREATED
    assert message.created is not None
    assert message.created.name == "web"


def test_an_endpoints_event_is_about_its_container() -> None:
    """Connect and disconnect name the container among the network's attributes."""
    for action, change in (("connect", Change.ATTACHED), ("disconnect", Change.DETACHED)):
        message = translate(
            {"Type": "network", "Action": action, "Actor": {"ID": "net", "Attributes": {"container": "6ba2"}}}
        )
        assert message == ContainerChanged("6ba2", change)


def test_a_networks_own_event_is_about_all_networks() -> None:
    """Anything may have named it."""
    assert translate({"Type": "network", "Action": "destroy", "Actor": {"ID": "net"}}) == NetworksChanged()


def test_an_images_event_is_about_all_images() -> None:
    """A name may have passed from one to another."""
    assert translate({"Type": "image", "Action": "tag", "Actor": {"ID": "x"}}) == ImagesChanged()


def test_an_event_that_says_nothing_here_is_dropped() -> None:
    """Other types, and events without a subject."""
    assert translate({"Type": "volume", "Action": "create", "Actor": {"ID": "x"}}) is None
    assert translate({"Type": "container", "Action": "start", "Actor": {}}) is None
    assert translate({}) is None
