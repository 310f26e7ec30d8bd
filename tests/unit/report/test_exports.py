"""Lines for a hosts file and records for a zone file: valid host names only, one address for each."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockeripv6mapper.mapping.state import State
from dockeripv6mapper.report import exports
from dockeripv6mapper.report.exports import NameFormat
from dockeripv6mapper.report.status import Row
from tests.unit.builders import MON_CONTAINER, NGINX, container


def row(name: str, address: IPv6Address = NGINX, state: State = State.MAPPED) -> Row:
    """A row of a container with that identity."""
    return Row(container(name), name, "he_ipv6", address, None, state, None, (), ())


def test_each_format_has_a_line_for_each_mapped_name() -> None:
    """Sorted by name. A pending container is left out: it is not reachable at its address."""
    names = exports.names([row("www.example", MON_CONTAINER), row("nginx"), row("new", state=State.PENDING)])
    assert exports.lines(names, NameFormat.HOSTS) == [f"{NGINX} nginx", f"{MON_CONTAINER} www.example"]
    assert exports.lines(names, NameFormat.ZONE) == [
        f"nginx IN AAAA {NGINX}",
        f"www.example IN AAAA {MON_CONTAINER}",
    ]
    assert not names.left_out


@pytest.mark.parametrize(
    "name",
    [
        "mon_container",
        "ends-",
        "two..dots",
        "dot.",
        "a" * 64,
        ".".join(["a" * 63] * 4),
        "192.0.2.1",
        "7",
        "localhost",
        "some.LocalHost",
        "$INCLUDE",
        "a b",
        "a\nb",
        "a;b",
        "ü",
        "",
    ],
)
def test_an_invalid_or_special_host_name_is_left_out_with_a_note(name: str) -> None:
    """A resolver or name server could reject the whole file, or read a directive in it."""
    names = exports.names([row(name), row("nginx", MON_CONTAINER)])
    assert names.addresses == {"nginx": MON_CONTAINER}
    (note,) = names.left_out
    assert ascii(name)[1:-1][:60] in note


def test_names_that_differ_only_in_case_are_both_left_out() -> None:
    """A resolver ignores case, and would answer with the address of either container."""
    names = exports.names([row("nginx"), row("NGINX", MON_CONTAINER)])
    assert not names.addresses
    assert names.left_out == (f"NGINX ({MON_CONTAINER}) and nginx ({NGINX}) are one host name",)


def test_containers_of_one_identity_and_address_are_one_line() -> None:
    """Such as a stopped container and its replacement."""
    first = row("nginx")
    second = replace(first, container=container("0123456789ab_nginx"))
    assert exports.names([first, second]).addresses == {"nginx": NGINX}


@given(st.lists(st.text(max_size=70) | st.from_regex(r"[a-z0-9.-]{1,9}", fullmatch=True), max_size=4))
def test_a_name_cannot_add_a_line_or_a_field(given_names: list[str]) -> None:
    """Each line has exactly its address and one name, for any container name."""
    names = exports.names(map(row, given_names))
    for name_format, words in ((NameFormat.HOSTS, 2), (NameFormat.ZONE, 4)):
        lines = "".join(f"{line}\n" for line in exports.lines(names, name_format)).splitlines()
        assert len(lines) == len(names.addresses)
        assert all(len(line.split()) == words and line.isascii() for line in lines)
