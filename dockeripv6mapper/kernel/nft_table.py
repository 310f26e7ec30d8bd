"""Our nftables table: whether it exists, and its removal. Over netlink, without nft.

nft reads the tables of all programs before it changes one, and an old nft dies of some that a newer one
wrote. What our table contains is in `nft_ruleset`, and `firewall` writes it.
"""

import struct
from contextlib import closing
from errno import EINVAL, ENOENT, EPERM, EPROTONOSUPPORT
from socket import AF_UNSPEC, htons

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.netlink import (
    ATTRIBUTE,
    NLM_F_ACK,
    PERMISSION_HINT,
    Answer,
    RequestSocket,
    pack_message,
)
from dockeripv6mapper.kernel.nft_notifications import (
    NETLINK_NETFILTER,
    NFNL_SUBSYS_NFTABLES,
    NFPROTO_IPV6,
    OUR_TABLE,
    TABLE_ATTRIBUTE,
)
from dockeripv6mapper.kernel.nft_ruleset import TABLE

NFT_MSG_GETTABLE, NFT_MSG_DELTABLE = 1, 2
"""The low byte of a message's type (`linux/netfilter/nf_tables.h`)."""
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 16, 17
"""Messages around a transaction (`linux/netfilter/nfnetlink.h`)."""
ABSENT = (ENOENT, EINVAL, EPROTONOSUPPORT)
"""There is no such table; the kernel has no nftables; it has no netfilter at all."""
GENERIC = struct.Struct("=BBH")
"""`struct nfgenmsg`: family, version, and for a transaction its subsystem in network byte order."""


def exists() -> bool:
    """Whether our table exists. Raises `KernelRefusedError`."""
    return _found("looking for", _request(NFT_MSG_GETTABLE, 0))


def remove() -> bool:
    """Remove our table, whatever it contains; returns whether it existed. Raises `KernelRefusedError`."""
    around = GENERIC.pack(AF_UNSPEC, 0, htons(NFNL_SUBSYS_NFTABLES))
    begin = pack_message(NFNL_MSG_BATCH_BEGIN, 0, 0, around)
    end = pack_message(NFNL_MSG_BATCH_END, 0, 0, around)
    return _found("removing", _request(NFT_MSG_DELTABLE, NLM_F_ACK, before=begin, after=end))


def _request(kind: int, flags: int, *, before: bytes = b"", after: bytes = b"") -> Answer:
    name = ATTRIBUTE.pack(ATTRIBUTE.size + len(OUR_TABLE), TABLE_ATTRIBUTE) + OUR_TABLE
    body = GENERIC.pack(NFPROTO_IPV6, 0, 0) + name.ljust(len(name) + 3 & ~3, b"\0")
    request = NFNL_SUBSYS_NFTABLES << 8 | kind
    try:
        with closing(RequestSocket(NETLINK_NETFILTER)) as netlink:
            (answer,) = netlink.request(request, flags, [body], before=before, after=after)
    except OSError as error:
        return error
    return answer


def _found(doing: str, answer: Answer) -> bool:
    if not isinstance(answer, OSError):
        return True
    if answer.errno in ABSENT:
        return False
    hint = PERMISSION_HINT if answer.errno == EPERM else None
    raise KernelRefusedError(f"{doing} table {TABLE}: {answer.strerror or answer}", hint=hint) from answer
