"""Labels and identities."""

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
def test_a_suffix_is_one_number_of_right_aligned_hextets(text: str, suffix: int) -> None:
    """One to eight hextets, in upper or lower case, with or without a leading ::."""
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
def test_a_suffix_that_is_not_hextets_is_refused(text: str) -> None:
    """The refusal names the label."""
    with pytest.raises(RefusedError) as caught:
        labels.parse_suffix(text)
    assert caught.value.refusal.reason is Reason.INVALID_LABEL
    assert labels.SUFFIX in caught.value.refusal.detail


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), (" TRUE ", True)])
def test_the_proxy_label_is_true_or_false(text: str, value: bool) -> None:
    """In upper or lower case."""
    assert labels.proxy_override({labels.PROXY: text}) is value


def test_an_invalid_proxy_label_refuses_the_whole_request() -> None:
    """The invalid part may be the one that makes the rest safe."""
    with pytest.raises(RefusedError):
        labels.request({labels.NETWORK: "he_ipv6", labels.PROXY: "nope"})


def test_without_a_network_label_there_is_no_request() -> None:
    """A suffix alone requests no address."""
    assert labels.request({labels.SUFFIX: "5"}) is None


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_network_label_is_refused(value: str) -> None:
    """It is a mistake, which the user wants to see in `status`."""
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
def test_the_identity_is_the_name_without_the_parts_that_a_recreation_changes(
    name: str, other: dict[str, str], identity: str
) -> None:
    """Without Swarm's task ID and Compose's temporary prefix; with all else, dots included."""
    assert labels.identity(name, other) == identity


def test_labels_with_the_images_own_value_are_not_the_users() -> None:
    """A label whose value differs from the image's was set by the user."""
    given = {labels.NETWORK: "he_ipv6", labels.SUFFIX: "5"}
    assert labels.user_labels(given, {labels.NETWORK: "he_ipv6", labels.SUFFIX: "6"}) == {labels.SUFFIX: "5"}


def test_the_warning_of_an_unknown_label_names_the_nearest_known_one() -> None:
    """It is probably a misspelt label."""
    (sentence,) = labels.ineffective_labels({"ipv6.mapper.netwrok": "x"}, labels.CONTAINER_LABELS)
    assert "'ipv6.mapper.netwrok'" in sentence
    assert "did you mean ipv6.mapper.network?" in sentence


@pytest.mark.parametrize("label", [labels.SUFFIX, labels.PORTS])
def test_a_label_that_needs_a_network_label_is_a_warning_without_one(label: str) -> None:
    """Else it would be ignored silently."""
    (sentence,) = labels.ineffective_labels({label: "5"}, labels.CONTAINER_LABELS)
    assert labels.NETWORK in sentence


def test_known_labels_and_those_of_other_programs_are_no_warning() -> None:
    """Only labels that begin with `ipv6.mapper.` are checked."""
    assert not labels.ineffective_labels({labels.NETWORK: "x", "com.example": "y"}, labels.CONTAINER_LABELS)


def test_a_networks_scheme_label_comes_before_the_option() -> None:
    """The daemon's option applies to networks without the label."""
    assert labels.scheme({labels.SCHEME: "WIDE"}, Scheme.MD5_24) is Scheme.WIDE
    assert labels.scheme({}, Scheme.WIDE) is Scheme.WIDE


def test_an_unknown_scheme_is_refused() -> None:
    """An address computed by a guessed scheme would have to change later."""
    with pytest.raises(RefusedError):
        labels.scheme({labels.SCHEME: "sha1"}, Scheme.MD5_24)


def test_untrusted_text_is_shown_escaped_and_short() -> None:
    """A label's value can neither forge a log line nor flood the log."""
    assert "\n" not in labels.shown("a\nERROR all is lost")
    assert "\x1b" not in labels.shown("\x1b[31m")
    assert len(labels.shown("x" * 10_000)) < 100
