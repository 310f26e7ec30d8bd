"""Which solicitations count as repeated."""

from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.kernel.ndp import repeats
from dockeripv6mapper.kernel.ndp.repeats import LEAST_SECONDS, MOST_SECONDS, Repeats
from tests.unit.builders import MON_CONTAINER, NGINX

ROUTER, OTHER_ROUTER = IPv6Address("fe80::1"), IPv6Address("fe80::2")
UPLINK, OTHER_UPLINK = 2, 3


def at(*times: float) -> list[bool]:
    """Whether a router's solicitation for one address is a repeat at each of some times."""
    solicitations = Repeats()
    return [solicitations.is_repeat(UPLINK, ROUTER, MON_CONTAINER, now) for now in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((100.0, 101.0), [False, True]),
        ((100.0, 100.0 + MOST_SECONDS), [False, True]),
        ((100.0, 100.1 + MOST_SECONDS), [False, False]),
        ((100.0, 100.0), [False, False]),
        ((100.0, 99.9 + LEAST_SECONDS, 101.0), [False, False, True]),
        ((100.0, 100.1, 100.15, 100.3), [False, False, False, True]),
        ((100.0, 110.0, 111.0), [False, False, True]),
    ],
    ids=["second later", "latest", "too late", "copy", "before an answer", "a burst", "after a long time"],
)
def test_repeat_comes_after_the_answer_and_soon(times: tuple[float, ...], expected: list[bool]) -> None:
    """A copy is no repeat, nor is the check of a router whose entry has become stale."""
    assert at(*times) == expected


@pytest.mark.parametrize(
    "other",
    [
        (OTHER_UPLINK, ROUTER, MON_CONTAINER),
        (UPLINK, OTHER_ROUTER, MON_CONTAINER),
        (UPLINK, ROUTER, NGINX),
    ],
    ids=["other uplink", "other solicitor", "other target"],
)
def test_other_solicitation_is_no_repeat(other: tuple[int, IPv6Address, IPv6Address]) -> None:
    """Two routers each ask once, and a router asks for each address."""
    solicitations = Repeats()
    assert not solicitations.is_repeat(UPLINK, ROUTER, MON_CONTAINER, 100.0)
    assert not solicitations.is_repeat(*other, 101.0)


def test_number_of_remembered_solicitations_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten: a flood from many sources must not fill the memory."""
    monkeypatch.setattr(repeats, "MAX_REMEMBERED", 2)
    solicitations = Repeats()
    sources = [IPv6Address(f"fe80::{number}") for number in range(1, 4)]
    for source in sources:
        solicitations.is_repeat(UPLINK, source, MON_CONTAINER, 100.0)
    assert not solicitations.is_repeat(UPLINK, sources[0], MON_CONTAINER, 101.0)
    assert solicitations.is_repeat(UPLINK, sources[2], MON_CONTAINER, 101.0)
