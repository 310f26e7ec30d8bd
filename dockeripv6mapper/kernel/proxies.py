"""The kernel's NDP proxy entries: which are there, which are ours, add and remove.

Ours carry a protocol number of their own (`NDA_PROTOCOL`, `ip -6 neigh show proxy` prints it). Some kernels
of 2025 stored it and then erased it; where that is seen, a file below /run says which are ours.
"""

import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ENODEV, ENOENT, EPERM
from ipaddress import IPv6Address
from itertools import count
from pathlib import Path

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.netlink import (
    ATTRIBUTE,
    HEADER,
    PERMISSION_HINT,
    attributes,
    messages,
    speaking,
)
from dockeripv6mapper.model import Link, ProxyEntry

log = logging.getLogger(__name__)

PROTOCOL = 109
"""Who made the entry, in the routing protocols' number space (`linux/rtnetlink.h`): unassigned there."""

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE_OR_CREATE = 0x500
"""Message types and flags of `linux/rtnetlink.h`, `linux/netlink.h`."""

NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""`struct ndmsg`: family, interface index, state, flags, type."""
ERROR = struct.Struct("=i")
"""The beginning of `struct nlmsgerr`: 0, or a negative errno."""
NTF_PROXY = 0x08
NUD_PERMANENT = 0x80
NDA_DST, NDA_PROTOCOL = 1, 12

REQUESTS_PER_SEND = 100
"""The answers to as many fit a socket's receive buffer, which takes 208 KB, a good 700 bytes for each."""
RECEIVE_BYTES = 1 << 16
ANSWER_SECONDS = 10
"""The kernel answers at once: a longer silence is an answer that was lost."""

PROTOCOL_NONE = 0


@dataclass(frozen=True, slots=True)
class ProxyNeighbour:
    """An address that is proxied on an interface, by index."""

    address: IPv6Address
    index: int


Result = int | OSError | None
"""What came of a request: a protocol number, an error, or nothing to say."""


class ProxyNeighbours:
    """The table of the network namespace that this process is in. Close it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(ANSWER_SECONDS)
        self._sequence = count(1)

    def dump(self) -> Iterator[tuple[ProxyNeighbour, int]]:
        """All of them, each with its protocol number. Raises `OSError`."""
        sequence = next(self._sequence)
        body = NEIGHBOUR.pack(socket.AF_INET6, 0, 0, NTF_PROXY, 0)
        self._socket.send(_message(RTM_GETNEIGH, NLM_F_DUMP, sequence, body))
        for kind, body in self._answers(sequence):
            if kind == RTM_NEWNEIGH and (found := parse(body)) is not None:
                yield found

    def find(self, wanted: Sequence[ProxyNeighbour]) -> list[Result]:
        """For each its protocol number, None or ENOENT where there is none such, or what went wrong."""
        if len(wanted) > REQUESTS_PER_SEND:
            present = dict(self.dump())
            return [present.get(each) for each in wanted]
        return self._transact(RTM_GETNEIGH, 0, [pack(each) for each in wanted])

    def put(self, wanted: Sequence[ProxyNeighbour], protocol: int) -> list[Result]:
        """Add each, or make it of that protocol; for each None, or what went wrong."""
        bodies = [pack(each, NUD_PERMANENT, protocol) for each in wanted]
        return self._transact(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE_OR_CREATE, bodies)

    def remove(self, unwanted: Sequence[ProxyNeighbour]) -> list[Result]:
        """Remove each; for each None, or what went wrong, ENOENT among it."""
        return self._transact(RTM_DELNEIGH, NLM_F_ACK, [pack(each) for each in unwanted])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _transact(self, kind: int, flags: int, bodies: Sequence[bytes]) -> list[Result]:
        """Send requests and collect an answer to each, in their order. Raises `OSError` on the way."""
        results: list[Result] = []
        for begin in range(0, len(bodies), REQUESTS_PER_SEND):
            some = {next(self._sequence): body for body in bodies[begin : begin + REQUESTS_PER_SEND]}
            self._socket.send(b"".join(_message(kind, flags, each, body) for each, body in some.items()))
            answers: dict[int, Result] = {}
            while len(answers) < len(some):
                for answer, _, sequence, body in messages(self._socket.recv(RECEIVE_BYTES)):
                    if sequence in some:
                        answers[sequence] = _result(answer, body)
            results += [answers[sequence] for sequence in some]
        return results

    def _answers(self, wanted: int) -> Iterator[tuple[int, bytes]]:
        """The messages of a dump, until its end."""
        while True:
            for kind, _, sequence, body in messages(self._socket.recv(RECEIVE_BYTES)):
                if sequence != wanted:
                    continue
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR and (error := _result(kind, body)) is not None:
                    raise error if isinstance(error, OSError) else OSError(error)
                yield kind, body


def pack(neighbour: ProxyNeighbour, state: int = 0, protocol: int = PROTOCOL_NONE) -> bytes:
    """A proxy neighbour as the body of a request."""
    header = NEIGHBOUR.pack(socket.AF_INET6, neighbour.index, state, NTF_PROXY, 0)
    body = header + ATTRIBUTE.pack(ATTRIBUTE.size + 16, NDA_DST) + neighbour.address.packed
    if protocol != PROTOCOL_NONE:
        body += ATTRIBUTE.pack(ATTRIBUTE.size + 1, NDA_PROTOCOL) + bytes((protocol, 0, 0, 0))
    return body


def parse(body: bytes) -> tuple[ProxyNeighbour, int] | None:
    """The proxy neighbour in the body of an answer, and its protocol number; None for any other neighbour."""
    family, index, _state, flags, _kind = NEIGHBOUR.unpack_from(body)
    found = dict(attributes(body, NEIGHBOUR.size))
    if family != socket.AF_INET6 or not flags & NTF_PROXY or NDA_DST not in found:
        return None
    protocol = found.get(NDA_PROTOCOL, bytes((PROTOCOL_NONE,)))[0]
    return ProxyNeighbour(IPv6Address(found[NDA_DST]), index), protocol


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body


def _result(kind: int, body: bytes) -> Result:
    if kind == NLMSG_ERROR:
        number = -ERROR.unpack_from(body)[0]
        return OSError(number, os.strerror(number)) if number else None
    found = parse(body)
    return None if found is None else found[1]


@dataclass(slots=True)
class Outcome:
    """What became of the entries that were to be added or removed."""

    done: list[ProxyEntry] = field(default_factory=list)
    found: list[ProxyEntry] = field(default_factory=list)
    """Not added, since somebody else's entry is there already."""
    failed: dict[ProxyEntry, KernelRefusedError] = field(default_factory=dict)


class ProxyTable:
    """The proxy entries of the network namespace that this process is in. Close it."""

    def __init__(self, record: Path) -> None:
        with speaking("opening a netlink socket"):
            self._neighbours = ProxyNeighbours()
        self._record = record
        self._keeps_protocol: bool | None = None
        """Whether this kernel keeps the number; None: not seen yet."""

    def observe(self, links: Mapping[str, Link]) -> dict[ProxyEntry, bool]:
        """All entries on `links`, and whether each is ours. Raises `KernelRefusedError`."""
        names = {link.index: link.name for link in links.values()}
        recorded = self._recorded()
        entries = {}
        with speaking("reading NDP proxy entries"):
            for found, protocol in self._neighbours.dump():
                if (uplink := names.get(found.index)) is None:
                    continue
                entry = ProxyEntry(found.address, uplink)
                entries[entry] = protocol == PROTOCOL or (protocol == PROTOCOL_NONE and entry in recorded)
        return entries

    def add(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> Outcome:
        """Add what is not there yet; one that fails does not keep the others from being added.

        Each is looked for first: adding over somebody else's entry succeeds without a word, and would
        make it ours (`neigh_add` in `net/core/neighbour.c`).
        """
        outcome = Outcome()
        wanted = []
        for entry in entries:
            if entry.uplink in links:
                wanted.append(entry)
            else:
                outcome.failed[entry] = KernelRefusedError(f"proxying {entry}: there is no such link")
        missing = []
        for entry, found in self._each("looking for", wanted, links, self._neighbours.find):
            if isinstance(found, int):
                outcome.found.append(entry)
            elif found is None or found.errno == ENOENT:
                missing.append(entry)
            else:
                outcome.failed[entry] = _refused("looking for", entry, found)
        if missing and self._keeps_protocol is not True:
            self._write_record(self._recorded() | set(missing))
        for entry, added in self._each("adding", missing, links, self._put):
            if isinstance(added, OSError):
                outcome.failed[entry] = _refused("adding", entry, added)
            else:
                outcome.done.append(entry)
        if outcome.done and self._keeps_protocol is None:
            self._learn(outcome.done[0], links)
        return outcome

    def remove(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> Outcome:
        """Remove entries of ours; one that is gone already, or whose link is, is as good as removed."""
        outcome = Outcome()
        present: list[ProxyEntry] = []
        for entry in entries:
            (present if entry.uplink in links else outcome.done).append(entry)
        for entry, removed in self._each("removing", present, links, self._neighbours.remove):
            if isinstance(removed, OSError) and removed.errno not in (ENOENT, ENODEV):
                outcome.failed[entry] = _refused("removing", entry, removed)
            else:
                outcome.done.append(entry)
        if self._keeps_protocol is not True and (recorded := self._recorded()):
            self._write_record(recorded.difference(outcome.done))
        return outcome

    def close(self) -> None:
        """Close the socket."""
        self._neighbours.close()

    def _put(self, neighbours: Sequence[ProxyNeighbour]) -> list[Result]:
        return self._neighbours.put(neighbours, PROTOCOL)

    def _each(
        self,
        doing: str,
        entries: Sequence[ProxyEntry],
        links: Mapping[str, Link],
        request: Callable[[Sequence[ProxyNeighbour]], list[Result]],
    ) -> Iterator[tuple[ProxyEntry, Result]]:
        """Each entry with what came of a request about it; all with an error where the socket failed."""
        neighbours = [ProxyNeighbour(entry.address, links[entry.uplink].index) for entry in entries]
        try:
            results = request(neighbours)
        except OSError as error:
            log.debug("%s NDP proxy entries: %s", doing, error)
            results = [error] * len(entries)
        return zip(entries, results, strict=True)

    def _learn(self, entry: ProxyEntry, links: Mapping[str, Link]) -> None:
        ((_, found),) = self._each("looking for", [entry], links, self._neighbours.find)
        if isinstance(found, OSError):
            return
        self._keeps_protocol = found == PROTOCOL
        if self._keeps_protocol:
            try:
                self._record.unlink(missing_ok=True)
            except OSError as error:
                # What it says is not asked any more.
                log.warning("removing %s: %s", self._record, error.strerror)
        else:
            log.warning("this kernel forgets who made a proxy entry: keeping a record in %s", self._record)

    def _recorded(self) -> set[ProxyEntry]:
        if self._keeps_protocol:
            return set()
        try:
            lines = self._record.read_text().splitlines()
        except FileNotFoundError:
            return set()
        except PermissionError:
            # Who may not look changes nothing either: the numbers that the kernel keeps have to do.
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
                log.warning("%s: passing over what is no entry: %r", self._record, line)
        return entries

    def _write_record(self, entries: Iterable[ProxyEntry]) -> None:
        text = "".join(f"{entry.address} {entry.uplink}\n" for entry in sorted(entries))
        draft = self._record.with_suffix(".draft")
        try:
            self._record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_text(text)
            draft.replace(self._record)
        except OSError as error:
            # It matters on few kernels, and the entries themselves matter on all.
            log.warning("recording proxy entries in %s: %s", self._record, error.strerror)


def _refused(doing: str, entry: ProxyEntry, error: OSError) -> KernelRefusedError:
    hint = PERMISSION_HINT if error.errno == EPERM else None
    return KernelRefusedError(f"{doing} NDP proxy entry {entry}: {error.strerror or error}", hint=hint)
