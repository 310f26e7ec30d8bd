"""Quoting: whatever a name holds, a shell reads it back as one word, and nobody pastes a line of it."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from dockeripv6mapper.doctor.finding import printable
from dockeripv6mapper.doctor.fixes import operands, quoted

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=50, deadline=None)
@given(st.lists(NAMES, min_size=1))
def test_bash_reads_back_every_name_from_one_line(names: list[str]) -> None:
    """No part of a name is a command, a comment, or moves the cursor."""
    words = " ".join(map(quoted, names))
    assert words.isprintable()
    script = f"printf '%s\\0' {words}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.decode().split("\0") == [*names, ""]


@given(st.lists(NAMES, min_size=1))
def test_no_name_is_taken_for_an_option(names: list[str]) -> None:
    """`--` stands before names of which one begins with a dash."""
    assert not operands(names).startswith("-") or operands(names).startswith("-- ")


@given(st.text())
def test_what_is_printed_is_one_line_of_printable_text(text: str) -> None:
    """And text that is that already stays as it is."""
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
