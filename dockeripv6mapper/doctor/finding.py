"""A finding: the result of one check, and the commands that fix it."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How severe a finding is."""

    OK = "ok"
    WARN = "warn"
    """Something works badly, or may stop working."""
    FAIL = "fail"
    """Something that the user asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check of one subject."""

    check: str
    """The check's name: one word, stable, for programs that read the JSON."""
    subject: str
    """`host`, `engine`, `firewall`, or `network NAME`, `container NAME`, `uplink NAME`."""
    level: Level
    found: str
    """The state that the check found, good or bad."""
    why: str = ""
    """Why it matters; empty if the level is OK."""
    fix: str = ""
    """Lines for root's shell; empty if the level is OK. A line that begins with `#` is for the reader."""


def printable(text: str) -> str:
    """`text` on one line, control characters escaped: a name that a user chose may contain them."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def ok(check: str, subject: str, found: str) -> Finding:
    """A finding that needs no fix."""
    return Finding(check, subject, Level.OK, found)


def warn(check: str, subject: str, found: str, *, why: str, fix: str) -> Finding:
    """A finding of level WARN."""
    return Finding(check, subject, Level.WARN, found, why, fix)


def fail(check: str, subject: str, found: str, *, why: str, fix: str) -> Finding:
    """A finding of level FAIL."""
    return Finding(check, subject, Level.FAIL, found, why, fix)
