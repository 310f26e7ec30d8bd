"""Forwarding: what passes through a host on which it is switched on.

Engines from 27 on set the policy of ip6tables' FORWARD chain to DROP when they switch forwarding on
themselves. Where forwarding is on already they leave the policy alone, so the mapper has to set it first.
"""

import logging

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.firewall_rules import leads_to_engine
from dockeripv6mapper.kernel import firewall
from dockeripv6mapper.kernel.commands import run
from dockeripv6mapper.kernel.filtering import observe_chains, observe_nftables
from dockeripv6mapper.model import Forwarded

log = logging.getLogger(__name__)

FORWARD = ("filter", "FORWARD")


def close() -> Forwarded:
    """Set FORWARD's policy to DROP where the engine's rules stand there; returns what is forwarded now.

    Only there: without rules of the engine's, its containers could not be reached any more.
    Raises `KernelRefusedError`.
    """
    filtered = False
    for command in firewall.backends():
        chain = (observe_chains(command) or {}).get(FORWARD)
        if chain is None:
            continue
        if chain.policy == "DROP":
            filtered = True
        elif leads_to_engine(chain):
            run([command, "-w", "-P", "FORWARD", "DROP"])
            log.info("%s: policy of FORWARD %s → DROP, as the engine sets it", command, chain.policy)
            filtered = True
    return Forwarded.BY_RULES if filtered or _nftables_drop() else Forwarded.ANYTHING


def _nftables_drop() -> bool:
    """Whether a chain of nftables drops what is forwarded; not where that cannot be seen.

    It decides about a warning alone, and some versions of nft die of a newer one's ruleset: the containers
    are to be reached all the same.
    """
    try:
        return bool(observe_nftables()[0])
    except KernelRefusedError as error:
        log.warning("%s; taking nothing to be dropped", error)
        return False
