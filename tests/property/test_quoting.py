"""Quoting: a shell reads any quoted name as one word, on one line."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from dockeripv6mapper.doctor.finding import printable
from dockeripv6mapper.doctor.fixes import operands, quoted

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=50, deadline=None)
@given(st.lists(NAMES, min_size=1))
def test_bash_reads_back_every_name_from_one_line(names: list[str]) -> None:
    """No part of a name acts as a command, a comment or a control sequence."""
    words = " ".join(map(quoted, names))
    assert words.isprintable()
    script = f"printf '%s\\0' {words}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.decode().split("\0") == [*names, ""]


@given(st.lists(NAMES, min_size=1))
def test_a_name_is_never_parsed_as_an_option(names: list[str]) -> None:
    """`--` precedes the names if one of them begins with a dash."""
    assert not operands(names).startswith("-") or operands(names).startswith("-- ")


@given(st.text())
def test_printable_makes_one_line_of_printable_text(text: str) -> None:
    """Text that is printable already is unchanged."""
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
