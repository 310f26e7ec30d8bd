"""Running the firewall's commands."""

import pytest

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.commands import run
from dockeripv6mapper.kernel.ip6tables import read_chains

LATIN_1 = r"-A FORWARD -m comment --comment \"caf\351\" -j ACCEPT"
RULES = rf"*filter\n:FORWARD DROP [0:0]\n{LATIN_1}\nCOMMIT\n"


def test_a_comment_that_is_not_utf_8_does_not_hide_the_rules() -> None:
    """ip6tables-save prints the bytes of a comment as they are."""
    chain = read_chains(run(["printf", RULES]).stdout)["filter", "FORWARD"]
    (rule,) = chain.rules
    assert rule.options >= {("--comment", r"caf\xe9"), ("-j", "ACCEPT")}


def test_an_error_that_is_not_utf_8_is_shown() -> None:
    """Its bytes are escaped."""
    with pytest.raises(KernelRefusedError, match=r"caf\\xe9"):
        run(["sh", "-c", r"printf 'caf\351' >&2; exit 1"])
