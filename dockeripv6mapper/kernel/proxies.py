"""The kernel's NDP proxy entries (`ip -6 neigh show proxy`): read, add, remove, and which of them are ours.

An entry of ours carries our protocol number (`NDA_PROTOCOL`; iproute2 shows it as `proto 109`). Some kernels
of 2025 store that number and then erase it. On such a kernel a file in the state directory lists our entries.
"""

import logging
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ENODEV, ENOENT, EPERM
from ipaddress import IPv6Address
from pathlib import Path
from socket import AF_INET6
from typing import TypeAlias

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.netlink import (
    ATTRIBUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    PERMISSION_HINT,
    REQUESTS_PER_SEND,
    Answer,
    RequestSocket,
    attributes,
    translated_errors,
)
from dockeripv6mapper.model import Link, ProxyEntry

log = logging.getLogger(__name__)

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
"""Message types of `linux/rtnetlink.h`."""

NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""`struct ndmsg`: family, interface index, state, flags, type."""
NTF_PROXY = 0x08
NUD_PERMANENT = 0x80
NDA_DST, NDA_PROTOCOL = 1, 12
"""Flag, state and attributes of `linux/neighbour.h`."""

PROTOCOL = 109
"""Our protocol number. Routing protocols share the number space, and this one is unassigned
(`linux/rtnetlink.h`)."""
PROTOCOL_NONE = 0
"""Of an entry without a number, and of one whose number the kernel has erased."""


@dataclass(frozen=True, slots=True)
class ProxyNeighbour:
    """A proxy entry as the kernel identifies it: an address, and the index of an interface."""

    address: IPv6Address
    index: int


Result: TypeAlias = int | OSError | None
"""The result of one request: the entry's protocol number, an error, or success without a value (None)."""


class ProxyNeighbours:
    """The kernel's proxy entries in this process's network namespace, over rtnetlink. Close it."""

    def __init__(self) -> None:
        self._netlink = RequestSocket()

    def dump(self) -> Iterator[tuple[ProxyNeighbour, int]]:
        """All entries, each with its protocol number. Raises `OSError`."""
        for message in self._netlink.dump(RTM_GETNEIGH, NEIGHBOUR.pack(AF_INET6, 0, 0, NTF_PROXY, 0)):
            if message.kind == RTM_NEWNEIGH and (parsed := parse(message.body)) is not None:
                yield parsed

    def find(self, neighbours: Sequence[ProxyNeighbour]) -> list[Result]:
        """Each entry's protocol number; None or ENOENT for one that does not exist; or another error."""
        if len(neighbours) > REQUESTS_PER_SEND:
            # One dump instead of several sends.
            present = dict(self.dump())
            return [present.get(each) for each in neighbours]
        return self._request(RTM_GETNEIGH, 0, [pack(each) for each in neighbours])

    def put(self, neighbours: Sequence[ProxyNeighbour], protocol: int) -> list[Result]:
        """Add each, or replace its protocol number; None or an error for each."""
        bodies = [pack(each, NUD_PERMANENT, protocol) for each in neighbours]
        return self._request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE | NLM_F_CREATE, bodies)

    def remove(self, neighbours: Sequence[ProxyNeighbour]) -> list[Result]:
        """Remove each; None or an error for each, ENOENT for one that did not exist."""
        return self._request(RTM_DELNEIGH, NLM_F_ACK, [pack(each) for each in neighbours])

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def _request(self, kind: int, flags: int, bodies: Sequence[bytes]) -> list[Result]:
        return [_result(answer) for answer in self._netlink.request(kind, flags, bodies)]


def pack(neighbour: ProxyNeighbour, state: int = 0, protocol: int = PROTOCOL_NONE) -> bytes:
    """The body of a request about a proxy entry."""
    header = NEIGHBOUR.pack(AF_INET6, neighbour.index, state, NTF_PROXY, 0)
    body = header + ATTRIBUTE.pack(ATTRIBUTE.size + 16, NDA_DST) + neighbour.address.packed
    if protocol != PROTOCOL_NONE:
        body += ATTRIBUTE.pack(ATTRIBUTE.size + 1, NDA_PROTOCOL) + bytes((protocol, 0, 0, 0))
    return body


def parse(body: bytes) -> tuple[ProxyNeighbour, int] | None:
    """The proxy entry in the body of an answer, and its protocol number; None for any other neighbour."""
    family, index, _state, flags, _kind = NEIGHBOUR.unpack_from(body)
    values = dict(attributes(body, NEIGHBOUR.size))
    if family != AF_INET6 or not flags & NTF_PROXY or NDA_DST not in values:
        return None
    protocol = values.get(NDA_PROTOCOL, bytes((PROTOCOL_NONE,)))[0]
    return ProxyNeighbour(IPv6Address(values[NDA_DST]), index), protocol


def _result(answer: Answer) -> Result:
    if not isinstance(answer, bytes):
        return answer
    parsed = parse(answer)
    return None if parsed is None else parsed[1]


@dataclass(slots=True)
class Outcome:
    """The outcome of adding or removing entries; each entry is in one of the three."""

    done: list[ProxyEntry] = field(default_factory=list)
    foreign: list[ProxyEntry] = field(default_factory=list)
    """Not added, because an entry that is not ours exists already."""
    failed: dict[ProxyEntry, KernelRefusedError] = field(default_factory=dict)


class ProxyTable:
    """The proxy entries in this process's network namespace, and which of them are ours. Close it."""

    def __init__(self, record: Path) -> None:
        with translated_errors("opening a netlink socket"):
            self._neighbours = ProxyNeighbours()
        self._record = record
        """The file that lists our entries, one `ADDRESS LINK` a line."""
        self._keeps_protocol: bool | None = None
        """Whether this kernel keeps our protocol number; None: not known before the first added entry."""

    def observe(self, links: Mapping[str, Link]) -> dict[ProxyEntry, bool]:
        """All entries on `links`, and whether each is ours. Raises `KernelRefusedError`."""
        names = {link.index: link.name for link in links.values()}
        recorded = self._read_record()
        entries = {}
        with translated_errors("reading NDP proxy entries"):
            for neighbour, protocol in self._neighbours.dump():
                if (uplink := names.get(neighbour.index)) is None:
                    continue
                entry = ProxyEntry(neighbour.address, uplink)
                entries[entry] = protocol == PROTOCOL or (protocol == PROTOCOL_NONE and entry in recorded)
        return entries

    def add(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> Outcome:
        """Add the entries that do not exist. After a failure, the rest are still added.

        Looks each entry up first: adding over another program's entry would succeed and turn it into ours
        (`neigh_add` in `net/core/neighbour.c`).
        """
        outcome = Outcome()
        wanted = []
        for entry in entries:
            if entry.uplink in links:
                wanted.append(entry)
            else:
                outcome.failed[entry] = KernelRefusedError(f"proxying {entry}: there is no such link")
        missing = []
        for entry, result in self._request("looking for", wanted, links, self._neighbours.find):
            if isinstance(result, int):
                outcome.foreign.append(entry)
            elif result is None or result.errno == ENOENT:
                missing.append(entry)
            else:
                outcome.failed[entry] = _refused("looking for", entry, result)
        if missing and self._keeps_protocol is not True:
            self._write_record(self._read_record() | set(missing))
        for entry, result in self._request("adding", missing, links, self._put):
            if isinstance(result, OSError):
                outcome.failed[entry] = _refused("adding", entry, result)
            else:
                outcome.done.append(entry)
        if outcome.done and self._keeps_protocol is None:
            self._check_protocol_is_kept(outcome.done[0], links)
        return outcome

    def remove(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> Outcome:
        """Remove entries of ours. An entry that is gone, or whose link is gone, counts as removed."""
        outcome = Outcome()
        present: list[ProxyEntry] = []
        for entry in entries:
            (present if entry.uplink in links else outcome.done).append(entry)
        for entry, result in self._request("removing", present, links, self._neighbours.remove):
            if isinstance(result, OSError) and result.errno not in (ENOENT, ENODEV):
                outcome.failed[entry] = _refused("removing", entry, result)
            else:
                outcome.done.append(entry)
        if self._keeps_protocol is not True and (recorded := self._read_record()):
            self._write_record(recorded.difference(outcome.done))
        return outcome

    def close(self) -> None:
        """Close the socket."""
        self._neighbours.close()

    def _put(self, neighbours: Sequence[ProxyNeighbour]) -> list[Result]:
        return self._neighbours.put(neighbours, PROTOCOL)

    def _request(
        self,
        doing: str,
        entries: Sequence[ProxyEntry],
        links: Mapping[str, Link],
        request: Callable[[Sequence[ProxyNeighbour]], list[Result]],
    ) -> Iterator[tuple[ProxyEntry, Result]]:
        """Each entry with the result of its request; all with one error where the socket fails."""
        neighbours = [ProxyNeighbour(entry.address, links[entry.uplink].index) for entry in entries]
        try:
            results = request(neighbours)
        except OSError as error:
            log.debug("%s NDP proxy entries: %s", doing, error)
            results = [error] * len(entries)
        return zip(entries, results, strict=True)

    def _check_protocol_is_kept(self, entry: ProxyEntry, links: Mapping[str, Link]) -> None:
        """Read back an entry that was just added. If its protocol number is gone, keep the record."""
        ((_, result),) = self._request("looking for", [entry], links, self._neighbours.find)
        if isinstance(result, OSError):
            return
        self._keeps_protocol = result == PROTOCOL
        if self._keeps_protocol:
            try:
                self._record.unlink(missing_ok=True)
            except OSError as error:
                # The record is not read from now on, so a stale one does no harm.
                log.warning("removing %s: %s", self._record, error.strerror)
        else:
            log.warning(
                "this kernel erases the protocol number of proxy entries: recording ours in %s", self._record
            )

    def _read_record(self) -> set[ProxyEntry]:
        if self._keeps_protocol:
            return set()
        try:
            lines = self._record.read_text().splitlines()
        except FileNotFoundError:
            return set()
        except PermissionError:
            # An unprivileged command changes no entries, so the kernel's protocol numbers suffice for it.
            return set()
        except OSError as error:
            log.warning("reading which proxy entries are ours in %s: %s", self._record, error.strerror)
            return set()
        entries = set()
        for line in lines:
            address, _, uplink = line.partition(" ")
            try:
                entries.add(ProxyEntry(IPv6Address(address), uplink))
            except ValueError:
                log.warning("%s: ignoring a line that is no proxy entry: %r", self._record, line)
        return entries

    def _write_record(self, entries: Iterable[ProxyEntry]) -> None:
        text = "".join(f"{entry.address} {entry.uplink}\n" for entry in sorted(entries))
        draft = self._record.with_suffix(".draft")
        try:
            self._record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_text(text)
            draft.replace(self._record)
        except OSError as error:
            # Not fatal: few kernels need the record, and the entries are needed on all.
            log.warning("recording proxy entries in %s: %s", self._record, error.strerror)


def _refused(doing: str, entry: ProxyEntry, error: OSError) -> KernelRefusedError:
    hint = PERMISSION_HINT if error.errno == EPERM else None
    return KernelRefusedError(f"{doing} NDP proxy entry {entry}: {error.strerror or error}", hint=hint)
