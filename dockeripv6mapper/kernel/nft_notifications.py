"""Which nftables notifications matter: those about our table and our accept rules. Pure.

The engine writes dozens of rules at every container start, and the kernel notifies of each. They matter only
where they are ours, or decide in which chain ours must be. iptables-nft changes nftables, so its changes are
reported too. Nothing is reported of changes by iptables-legacy.
"""

from collections.abc import Callable

from dockeripv6mapper.firewall_rules import COMMENT
from dockeripv6mapper.kernel.ip6tables import USER_CHAIN
from dockeripv6mapper.kernel.netlink import Message, attributes
from dockeripv6mapper.kernel.nft_ruleset import TABLE_NAME

NETLINK_NETFILTER = 12
"""The netlink family (`linux/netlink.h`)."""
NFNLGRP_NFTABLES = 1 << 6
"""Its multicast group 7, as a bit for `bind` (`linux/netfilter/nfnetlink.h`)."""

NFNL_SUBSYS_NFTABLES = 10
"""The high byte of a message's type (`linux/netfilter/nfnetlink.h`)."""
NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN = 3, 5
NFT_MSG_NEWRULE, NFT_MSG_DELRULE = 6, 8
NFT_MSG_NEWGEN = 15
"""The low byte (`linux/netfilter/nf_tables.h`). NEWGEN ends a transaction, and names no table."""

NFPROTO_IPV6 = 10
"""The first byte of `struct nfgenmsg`: the table's family."""
GENERIC_HEADER_BYTES = 4
"""The size of `struct nfgenmsg`."""
TABLE_ATTRIBUTE, RULE_CHAIN_ATTRIBUTE, CHAIN_NAME_ATTRIBUTE = 1, 2, 3
"""NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE and so on, all 1; NFTA_RULE_CHAIN; NFTA_CHAIN_NAME."""

OUR_TABLE = TABLE_NAME.encode() + b"\0"
OUR_COMMENT = COMMENT.encode() + b"\0"
USER_CHAIN_NAME = USER_CHAIN[1].encode() + b"\0"
FORWARD_CHAIN_NAME = b"FORWARD\0"


def concerns_mapper(message: Message, is_own: Callable[[int], bool]) -> bool:
    """Whether another program changed our table, an accept rule of ours, or the place for it.

    `is_own`: whether a netlink port belongs to a command of this process. The place is DOCKER-USER, where
    FORWARD jumps there.
    """
    subsystem, kind = divmod(message.kind, 1 << 8)
    body = message.body
    if subsystem != NFNL_SUBSYS_NFTABLES or kind == NFT_MSG_NEWGEN or body[:1] != bytes([NFPROTO_IPV6]):
        return False
    return _matters(kind, body) and not is_own(message.port)


def _matters(kind: int, body: bytes) -> bool:
    # A rule's message contains its matches and targets; a quick search spares reading most of them.
    if not any(word in body for word in (OUR_TABLE, OUR_COMMENT, USER_CHAIN_NAME)):
        return False
    values = dict(attributes(body, GENERIC_HEADER_BYTES))
    if values.get(TABLE_ATTRIBUTE) == OUR_TABLE:
        return True
    if kind in (NFT_MSG_NEWRULE, NFT_MSG_DELRULE):
        return OUR_COMMENT in body or values.get(RULE_CHAIN_ATTRIBUTE) == FORWARD_CHAIN_NAME
    return (
        kind in (NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN) and values.get(CHAIN_NAME_ATTRIBUTE) == USER_CHAIN_NAME
    )
