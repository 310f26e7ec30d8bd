"""A finding: what one check saw, and what is to be done about it."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Something works less well than its user may think, or soon will not."""
    FAIL = "fail"
    """Something that was asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw of one subject."""

    check: str
    """One word that programs can look for."""
    subject: str
    level: Level
    found: str
    why: str = ""
    """Why it matters; empty where all is well."""
    fix: str = ""
    """Lines for root's shell. Where a line begins with `#`, it is for the reader alone."""


def printable(text: str) -> str:
    """`text` on one line, and with nothing in it that moves a cursor: names may be anybody's."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def ok(check: str, subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, subject, Level.OK, found)


def warn(check: str, subject: str, found: str, *, why: str, fix: str) -> Finding:
    """Worth doing something about."""
    return Finding(check, subject, Level.WARN, found, why, fix)


def fail(check: str, subject: str, found: str, *, why: str, fix: str) -> Finding:
    """Something does not work."""
    return Finding(check, subject, Level.FAIL, found, why, fix)
