"""The kernel's NDP proxy entries: which are there, which are ours, add and remove.

Ours carry a protocol number of their own (`NDA_PROTOCOL`, `ip -6 neigh show proxy` prints it). Some kernels
of 2025 stored it and then erased it; where that is seen, a file below /run says which are ours.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import ENODEV, ENOENT
from ipaddress import IPv6Address
from pathlib import Path
from socket import AF_INET6

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ndmsg import NTF_PROXY, NUD_PERMANENT

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.netlink import speaking
from dockeripv6mapper.model import Link, ProxyEntry

log = logging.getLogger(__name__)

PROTOCOL = 109
"""Who made the entry, in the routing protocols' number space (`linux/rtnetlink.h`): unassigned there."""
PROTOCOL_NONE = 0


@dataclass(slots=True)
class Outcome:
    """What became of the entries that were to be added or removed."""

    done: list[ProxyEntry] = field(default_factory=list)
    found: list[ProxyEntry] = field(default_factory=list)
    """Not added, since somebody else's entry is there already."""
    failed: dict[ProxyEntry, KernelRefusedError] = field(default_factory=dict)

    @contextmanager
    def collecting(self, entry: ProxyEntry) -> Iterator[None]:
        """Note an error under the entry that it is about, and go on."""
        try:
            yield
        except KernelRefusedError as error:
            self.failed[entry] = error


class ProxyTable:
    """The proxy entries of the network namespace that this process is in."""

    def __init__(self, rtnetlink: IPRoute, record: Path) -> None:
        self._rtnetlink = rtnetlink
        self._record = record
        self._keeps_protocol: bool | None = None
        """Whether this kernel keeps the number; None: not seen yet."""

    def observe(self, links: Mapping[str, Link]) -> dict[ProxyEntry, bool]:
        """All entries on `links`, and whether each is ours."""
        names = {link.index: link.name for link in links.values()}
        recorded = self._recorded()
        with speaking("reading NDP proxy entries"):
            messages = self._rtnetlink.neigh(
                "dump",
                family=AF_INET6,
                flags=NTF_PROXY,
                dump_filter=lambda _: True,  # its own filter would drop every entry
            )
            entries = {}
            for message in messages:
                if (uplink := names.get(message["ifindex"])) is None:
                    continue
                entry = ProxyEntry(IPv6Address(message.get("dst")), uplink)
                protocol = message.get("protocol") or PROTOCOL_NONE
                entries[entry] = protocol == PROTOCOL or (protocol == PROTOCOL_NONE and entry in recorded)
            return entries

    def add(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> Outcome:
        """Add what is not there yet; one that fails does not keep the others from being added.

        Each is looked for first: adding over somebody else's entry succeeds without a word, and would
        make it ours (`neigh_add` in `net/core/neighbour.c`).
        """
        outcome = Outcome()
        missing = []
        for entry in entries:
            with outcome.collecting(entry):
                if self._protocol(entry, _index(entry, links)) is None:
                    missing.append(entry)
                else:
                    outcome.found.append(entry)
        if missing and self._keeps_protocol is not True:
            self._write_record(self._recorded() | set(missing))
        for entry in missing:
            with outcome.collecting(entry):
                self._add(entry, _index(entry, links))
                outcome.done.append(entry)
        if outcome.done and self._keeps_protocol is None:
            self._learn(outcome.done[0], links)
        return outcome

    def remove(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> Outcome:
        """Remove entries of ours; one that is gone already, or whose link is, is as good as removed."""
        outcome = Outcome()
        for entry in entries:
            with outcome.collecting(entry):
                if entry.uplink in links:
                    self._remove(entry, links[entry.uplink].index)
                outcome.done.append(entry)
        if self._keeps_protocol is not True and (recorded := self._recorded()):
            self._write_record(recorded.difference(outcome.done))
        return outcome

    def _add(self, entry: ProxyEntry, index: int) -> None:
        with speaking(f"adding NDP proxy entry {entry.address} on {entry.uplink}"):
            self._rtnetlink.neigh(
                "replace",
                family=AF_INET6,
                dst=str(entry.address),
                ifindex=index,
                flags=NTF_PROXY,
                state=NUD_PERMANENT,
                protocol=PROTOCOL,
            )

    def _remove(self, entry: ProxyEntry, index: int) -> None:
        with speaking(f"removing NDP proxy entry {entry.address} on {entry.uplink}"):
            try:
                self._rtnetlink.neigh(
                    "del", family=AF_INET6, dst=str(entry.address), ifindex=index, flags=NTF_PROXY
                )
            except NetlinkError as error:
                if error.code not in (ENOENT, ENODEV):
                    raise

    def _protocol(self, entry: ProxyEntry, index: int) -> int | None:
        """The protocol number of an entry; None where there is no such entry."""
        with speaking(f"looking for NDP proxy entry {entry.address} on {entry.uplink}"):
            try:
                found = self._rtnetlink.neigh(
                    "get", family=AF_INET6, dst=str(entry.address), ifindex=index, flags=NTF_PROXY
                )
            except NetlinkError as error:
                if error.code == ENOENT:
                    return None
                raise
        return int(found[0].get("protocol") or PROTOCOL_NONE)

    def _learn(self, entry: ProxyEntry, links: Mapping[str, Link]) -> None:
        self._keeps_protocol = self._protocol(entry, _index(entry, links)) == PROTOCOL
        if self._keeps_protocol:
            self._record.unlink(missing_ok=True)
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


def _index(entry: ProxyEntry, links: Mapping[str, Link]) -> int:
    if (link := links.get(entry.uplink)) is None:
        raise KernelRefusedError(f"proxying {entry.address} on {entry.uplink}: there is no such link")
    return link.index
