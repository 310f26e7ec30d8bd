"""Leftovers: what of ours stands in the firewall, found by its name, to be removed for good.

The daemon looks only for what it wants. Here all is found that it ever made: in either backend, in whatever
chain, also of another `--fwmark`.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel import nft_ruleset
from dockeripv6mapper.kernel.commands import run
from dockeripv6mapper.kernel.filtering import observe_chains
from dockeripv6mapper.kernel.firewall import COMMENT

OURS = {("--comment", COMMENT), ("-j", "ACCEPT")}
"""What a rule of ours says, and nobody else's."""


@dataclass(frozen=True, slots=True)
class LeftRule:
    """An accepting rule of ours."""

    command: str
    table: str
    chain: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"rule in {self.command} -t {self.table} {self.chain}"

    @property
    def removal(self) -> tuple[str, ...]:
        """The command that removes it."""
        return (self.command, "-w", "-t", self.table, "-D", self.chain, *self.words)

    def remove(self) -> None:
        """Remove it; one that is gone already is as good as removed. Raises `KernelRefusedError`."""
        try:
            run(self.removal)
        except KernelRefusedError:
            if self in rules(self.command):
                raise


def has_table() -> bool:
    """Whether our table is there. Raises `KernelRefusedError`."""
    if not shutil.which("nft"):
        return False
    return f"table {nft_ruleset.TABLE}" in run(["nft", "list", "tables", "ip6"]).stdout.splitlines()


def remove_table() -> None:
    """Remove our table, whatever it holds. Raises `KernelRefusedError`."""
    run(["nft", "-f", "-"], stdin=nft_ruleset.remove())


def rules(command: str) -> Iterator[LeftRule]:
    """Our rules in one backend of ip6tables. Raises `KernelRefusedError`."""
    for (table, chain), found in (observe_chains(command) or {}).items():
        for rule in found.rules:
            if rule.options >= OURS:
                yield LeftRule(command, table, chain, rule.words)
