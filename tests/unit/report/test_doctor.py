"""Findings as text and as JSON."""

from dockeripv6mapper.doctor.finding import ok, warn
from dockeripv6mapper.report import doctor

OK = ok("engine-version", "engine", "engine 28.5.2 answers")
WARN = warn(
    "label", "network he_ipv6", "no", why="nothing comes in", fix="# first\nip -6 route\nsysctl -w a=1"
)


def test_a_finding_is_a_line_with_its_reason_and_its_commands_below() -> None:
    """Each command is a line of its own, ready to be pasted."""
    assert doctor.as_text([OK, WARN]).plain.split("\n") == [
        "OK    engine: engine 28.5.2 answers",
        "WARN  network he_ipv6: no",
        "      nothing comes in",
        "        # first",
        "        ip -6 route",
        "        sysctl -w a=1",
    ]


def test_no_name_adds_a_line_or_moves_the_cursor() -> None:
    """Neither in the finding nor in its fix: both contain names that a user may have chosen."""
    evil = "x\n        rm -rf /\x1b[2K\u202e\u2028\x85"
    text = doctor.as_text([warn("label", f"network {evil}", evil, why=evil, fix=f"true {evil[2:]}")]).plain
    assert len(text.split("\n")) == 3
    assert all(line.isprintable() for line in text.split("\n"))


def test_markup_in_a_name_is_printed_as_text() -> None:
    """A network may be called `[bold]`."""
    assert "[bold]" in doctor.as_text([ok("network", "network [bold]", "[/]")]).plain


def test_the_fields_of_the_json() -> None:
    """Other programs read them. Names are not changed there."""
    assert doctor.as_json([WARN]) == {
        "findings": [
            {
                "check": "label",
                "subject": "network he_ipv6",
                "level": "warn",
                "found": "no",
                "why": "nothing comes in",
                "fix": "# first\nip -6 route\nsysctl -w a=1",
            }
        ]
    }
