"""The forms of output that an option names, apart from what writes them, which `--help` need not wait for."""

from enum import Enum


class LogFormat(Enum):
    """How a record of the log is written."""

    AUTO = "auto"
    """In colours on a terminal, with priorities to the journal, else plain."""
    PLAIN = "plain"
    JSON = "json"


class NameFormat(Enum):
    """What the lines of names and addresses are for."""

    HOSTS = "hosts"
    """`ADDRESS NAME`, for /etc/hosts."""
    ZONE = "zone"
    """`NAME IN AAAA ADDRESS`, relative to the zone's origin and with its default TTL (RFC 1035 §5.1)."""
