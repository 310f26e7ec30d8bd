"""Running the firewall's commands."""

from pathlib import Path

import pytest

from dockeripv6mapper.errors import CommandCrashedError, KernelRefusedError
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


@pytest.mark.parametrize(("signal", "explained"), [("SEGV", True), ("ABRT", True), ("KILL", False)])
def test_the_error_of_an_nft_that_died_names_the_signal_and_what_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: str, explained: bool
) -> None:
    """Version 1.0.6 dies of rules that a newer one wrote. Another program may kill it for another reason."""
    program = tmp_path / "nft"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "nftables v1.0.6 (x)" && exit\nkill -{signal} $$\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(CommandCrashedError, match=rf"running nft -f -: nft died of SIG{signal}") as raised:
        run(["nft", "-f", "-"], check=False)
    assert (
        "this nft (1.0.6) probably cannot read rules that a newer one wrote" in str(raised.value)
    ) == explained
    assert ("install a newer nftables" in (raised.value.hint or "")) == explained


def test_another_command_that_died_is_named() -> None:
    """Nothing is known of why."""
    with pytest.raises(CommandCrashedError, match=r"sh died of SIGSEGV$"):
        run(["sh", "-c", "kill -SEGV $$"], check=False)
