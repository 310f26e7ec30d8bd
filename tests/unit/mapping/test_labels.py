"""What labels and names say."""

import pytest

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.model import Reason, RefusedError
from dockeripv6mapper.settings import Scheme

TASK = "m1f3k1b0v6q8e2n9x7c5z4a0d"


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("ab:cd:56", 0xAB_00CD_0056),
        ("5", 5),
        ("::a:1", 0xA_0001),
        ("FFFF", 0xFFFF),
        (" 3d:7a:30 ", 0x3D_007A_0030),
        ("1:2:3:4:5:6:7:8", 0x0001_0002_0003_0004_0005_0006_0007_0008),
        ("0", 0),
    ],
)
def test_a_suffix_is_right_aligned_hextets(text: str, suffix: int) -> None:
    """One to eight hextets in any case, with or without a leading ::, are one number."""
    assert labels.parse_suffix(text) == suffix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "::",
        ":",
        "12345",
        "g",
        "1::2",
        "1:",
        ":1",
        "0x1",
        "+1",
        "1_0",
        "1:2:3:4:5:6:7:8:9",
        "1.2.3.4",
        "٣",
        "a b",
    ],
)
def test_what_is_not_hextets_is_refused(text: str) -> None:
    """Anything that is not one to eight hextets is refused, and the refusal names the label."""
    with pytest.raises(RefusedError) as caught:
        labels.parse_suffix(text)
    assert caught.value.refusal.reason is Reason.INVALID_LABEL
    assert labels.SUFFIX in caught.value.refusal.detail


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), (" TRUE ", True)])
def test_proxy_is_true_or_false(text: str, value: bool) -> None:
    """The override is read in any case."""
    assert labels.proxy_override({labels.PROXY: text}) is value


def test_an_unreadable_proxy_label_refuses_the_whole_request() -> None:
    """Half of a request is not granted: the other half may be what made it safe."""
    with pytest.raises(RefusedError):
        labels.request({labels.NETWORK: "he_ipv6", labels.PROXY: "nope"})


def test_no_network_label_asks_for_nothing() -> None:
    """Without the network label there is no request."""
    assert labels.request({labels.SUFFIX: "5"}) is None


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_network_is_refused(value: str) -> None:
    """A label that is there and empty is a mistake that its writer wants to hear of."""
    with pytest.raises(RefusedError):
        labels.request({labels.NETWORK: value})


@pytest.mark.parametrize(
    ("name", "other", "identity"),
    [
        ("mon_container", {}, "mon_container"),
        ("www.example.com", {}, "www.example.com"),
        ("www.example.org", {}, "www.example.org"),
        (f"web.1.{TASK}", {labels.SWARM_TASK_ID: TASK}, "web.1"),
        (f"agent.kq3n7p2w9.{TASK}", {labels.SWARM_TASK_ID: TASK}, "agent.kq3n7p2w9"),
        (f"web.1.{TASK}", {}, f"web.1.{TASK}"),
        ("renamed", {labels.SWARM_TASK_ID: TASK}, "renamed"),
        ("0123456789ab_shop-web-1", {labels.COMPOSE_PROJECT: "shop"}, "shop-web-1"),
        ("shop-web-1", {labels.COMPOSE_PROJECT: "shop"}, "shop-web-1"),
        ("0123456789ab_mine", {}, "0123456789ab_mine"),
        ("0123456789AB_mine", {labels.COMPOSE_PROJECT: "shop"}, "0123456789AB_mine"),
        ("0123456789ab_", {labels.COMPOSE_PROJECT: "shop"}, "0123456789ab_"),
    ],
)
def test_identity_is_the_name_without_what_a_recreation_changes(
    name: str, other: dict[str, str], identity: str
) -> None:
    """Swarm's task ID and Compose's temporary prefix are not part of it; dots are."""
    assert labels.identity(name, other) == identity


def test_labels_that_repeat_the_images_do_not_count() -> None:
    """Only what differs from the image's own value was said by the user."""
    given = {labels.NETWORK: "he_ipv6", labels.SUFFIX: "5"}
    assert labels.user_labels(given, {labels.NETWORK: "he_ipv6", labels.SUFFIX: "6"}) == {labels.SUFFIX: "5"}


def test_an_unknown_label_names_the_nearest_known_one() -> None:
    """A misspelt label is answered with what was probably meant."""
    (sentence,) = labels.oddities({"ipv6.mapper.netwrok": "x"}, labels.CONTAINER_LABELS)
    assert "'ipv6.mapper.netwrok'" in sentence
    assert "did you mean ipv6.mapper.network?" in sentence


@pytest.mark.parametrize("label", [labels.SUFFIX, labels.PORTS])
def test_a_label_that_needs_a_network_is_remarked_upon_without_one(label: str) -> None:
    """It would do nothing, silently."""
    (sentence,) = labels.oddities({label: "5"}, labels.CONTAINER_LABELS)
    assert labels.NETWORK in sentence


def test_known_labels_and_other_peoples_are_not_remarked_upon() -> None:
    """What is in order, or not the mapper's, is passed over."""
    assert not labels.oddities({labels.NETWORK: "x", "com.example": "y"}, labels.CONTAINER_LABELS)


def test_a_networks_scheme_label_comes_before_the_option() -> None:
    """The network's own word decides; without it, the daemon's option."""
    assert labels.scheme({labels.SCHEME: "WIDE"}, Scheme.MD5_24) is Scheme.WIDE
    assert labels.scheme({}, Scheme.WIDE) is Scheme.WIDE


def test_an_unknown_scheme_is_refused() -> None:
    """An address that was computed by a guess would have to change later."""
    with pytest.raises(RefusedError):
        labels.scheme({labels.SCHEME: "sha1"}, Scheme.MD5_24)


def test_untrusted_text_is_shown_escaped_and_short() -> None:
    """A value cannot forge a log line, or fill the log."""
    assert "\n" not in labels.shown("a\nERROR all is lost")
    assert "\x1b" not in labels.shown("\x1b[31m")
    assert len(labels.shown("x" * 10_000)) < 100
