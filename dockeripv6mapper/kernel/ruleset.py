"""The ruleset: all rules that a forwarded packet meets in this network namespace. Read, never changed."""

import json
import shutil

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.firewall_rules import NFT_COMMAND, BaseHook, Chains, Ruleset
from dockeripv6mapper.kernel.commands import IPTABLES, LEGACY_TABLES, backends, legacy_is_used, run
from dockeripv6mapper.kernel.ip6tables import observe_chains
from dockeripv6mapper.kernel.netlink import capabilities
from dockeripv6mapper.kernel.nft_chains import read_ruleset

NEEDED = "CAP_NET_ADMIN"
"""Without this capability the commands print no rules, and some of them no error either."""


def observe_ruleset() -> Ruleset:
    """Read all rules: one run of `ip6tables-save` for each backend in use, and one of `nft`.

    Raises nothing: where something cannot be read, `unreadable` says why. If that is nftables alone, the
    rules of ip6tables are there.
    """
    if NEEDED not in capabilities():
        return Ruleset(unreadable=f"{NEEDED} is missing")
    try:
        if legacy_is_used() is None:
            return Ruleset(unreadable=f"no permission to read {LEGACY_TABLES}")
        chains = {command: observe_chains(command) for command in backends() or [IPTABLES]}
    except KernelRefusedError as error:
        return Ruleset(unreadable=str(error))
    read = {command: each for command, each in chains.items() if each is not None}
    if read.keys() != chains.keys():
        return Ruleset(unreadable="ip6tables-save is not installed")
    try:
        nft, hooks = _observe_nft()
    except KernelRefusedError as error:
        return Ruleset(read, unreadable=str(error))
    return Ruleset({**read, NFT_COMMAND: nft}, hooks)


def _observe_nft() -> tuple[Chains, tuple[BaseHook, ...]]:
    """The chains of nftables. Raises `KernelRefusedError`."""
    if not shutil.which("nft"):
        return {}, ()
    listed = run(["nft", "-j", "list", "ruleset"]).stdout
    try:
        return read_ruleset(json.loads(listed)["nftables"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise KernelRefusedError(f"parsing the rules of nftables: {error!r}") from error
