"""The teardown: nothing of the mapper's is left, as far as it can be removed.

It goes on after a failure, and tells of each at its end, with what to type. What needs the engine comes
after what does not. A note of an unfinished reconnect is all that is known of a container that is off its
network because of us: it goes only when the container is back.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dockeripv6mapper.actions import Restore
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.errors import EngineUnavailableError, MapperError
from dockeripv6mapper.kernel import commands, firewall, ip6tables
from dockeripv6mapper.kernel.host import RECORD, Kernel
from dockeripv6mapper.kernel.nft_ruleset import TABLE
from dockeripv6mapper.mapping.networks import SHORT_ID_DIGITS
from dockeripv6mapper.settings import Settings

AGAIN = "DockerIPV6Mapper.py cleanup"


def tear_down(settings: Settings, say: Callable[[str], None], files: Iterable[Path]) -> None:
    """Remove all that is ours, `files` of the daemon's among it, and `say` what; in a dry run only say it.

    Raises an `ExceptionGroup` of `MapperError`s.
    """
    teardown = Teardown(say, dry_run=settings.dry_run)
    with teardown.going_on():
        _remove_entries(teardown, settings)
    _remove_filtering(teardown)
    _finish_reconnects(teardown, settings)
    teardown.remove_files(files)
    teardown.end()


class Teardown:
    """One removal after the other, and what failed."""

    def __init__(self, say: Callable[[str], None], *, dry_run: bool) -> None:
        self._say = say
        self.dry_run = dry_run
        self._idle = True
        self._errors: list[MapperError] = []

    @contextmanager
    def going_on(self, hint: str | None = None) -> Iterator[None]:
        """Take note of a failure inside; `hint`: what to type where the failure itself does not say."""
        try:
            yield
        except MapperError as error:
            error.hint = error.hint or hint
            self._errors.append(error)

    def remove(self, what: object, how: Callable[[], object], by_hand: str) -> None:
        """Remove one thing; `by_hand`: what to type where that fails."""
        with self.going_on(by_hand):
            try:
                if not self.dry_run:
                    how()
            except MapperError as error:
                raise MapperError(f"removing {what}: {error}", hint=error.hint) from error
            except OSError as error:
                raise MapperError(f"removing {what}: {error.strerror}") from error
            self.tell(f"would remove {what}" if self.dry_run else f"removed {what}")

    def remove_files(self, files: Iterable[Path]) -> None:
        """Remove those that are there."""
        for path in files:
            if os.path.lexists(path):
                self.remove(f"file {path}", path.unlink, shlex.join(("rm", str(path))))

    def tell(self, text: str) -> None:
        """Say that something was done."""
        self._idle = False
        self._say(text)

    def end(self) -> None:
        """Raise what failed, all together."""
        if self._errors:
            raise ExceptionGroup("cleaning up", self._errors)
        if self._idle:
            self._say("nothing to remove: nothing carries the mapper's mark")


def _remove_entries(teardown: Teardown, settings: Settings) -> None:
    """Remove proxy entries of ours on all links, then the record of which they are."""
    kernel = Kernel(settings.state_dir)
    try:
        ours = sorted(entry for entry, is_ours in kernel.observe().entries.items() if is_ours)
        outcome = kernel.remove_proxies(() if teardown.dry_run else ours)
    finally:
        kernel.close()
    for entry in ours if teardown.dry_run else outcome.done:
        teardown.tell(f"{'would remove' if teardown.dry_run else 'removed'} proxy entry {entry}")
    for entry, error in outcome.failed.items():
        with teardown.going_on(f"ip -6 neigh del proxy {entry.address} dev {entry.uplink}"):
            raise error
    if not outcome.failed:
        record = settings.state_dir / RECORD
        teardown.remove_files((record, record.with_suffix(".draft")))


def _remove_filtering(teardown: Teardown) -> None:
    """Remove our table, and our rules among the engine's."""
    with teardown.going_on(f"nft delete table {TABLE}"):
        if firewall.has_table():
            teardown.remove(f"table {TABLE}", firewall.remove_table, f"nft delete table {TABLE}")
    for command in commands.backends():
        with teardown.going_on(f"{command}-save | grep {ip6tables.COMMENT}"):
            for rule in list(ip6tables.our_rules(command)):
                teardown.remove(rule, rule.remove, shlex.join(rule.removal))


def _finish_reconnects(teardown: Teardown, settings: Settings) -> None:
    """Put containers back that a daemon took off a network and did not live to attach again."""
    journal = Journal(settings.state_dir)
    with teardown.going_on():
        teardown.remove_files(journal.drafts())
        if begun := journal.container_ids():
            client = Client(settings.docker_host)
            _ping(client, begun, journal)
            endpoints = Endpoints(client, journal)
            for container_id in begun:
                _finish(teardown, endpoints, Restore(container_id, container_id[:SHORT_ID_DIGITS]))
        for path in journal.unreadable():
            _keep_unreadable(teardown, path)
        directory = journal.directory
        if directory.exists() and (teardown.dry_run or not any(directory.iterdir())):
            teardown.remove(f"directory {directory}", directory.rmdir, shlex.join(("rmdir", str(directory))))


def _keep_unreadable(teardown: Teardown, note: Path) -> None:
    """Leave a note that could not be read: it is all that is known of a container that may be detached."""
    container = note.name[:SHORT_ID_DIGITS]
    with teardown.going_on(f"docker inspect {container}; rm {shlex.quote(str(note))}"):
        raise MapperError(f"finishing what was begun on container {container}: {note} cannot be read")


def _ping(client: Client, begun: Iterable[str], journal: Journal) -> None:
    try:
        client.ping()
    except EngineUnavailableError as error:
        whose = ", ".join(container_id[:SHORT_ID_DIGITS] for container_id in begun)
        raise MapperError(
            f"finishing what was begun on container {whose}: {error}; {journal.directory} is kept for that",
            hint=f"{error.hint} && {AGAIN}" if error.hint else AGAIN,
        ) from error


def _finish(teardown: Teardown, endpoints: Endpoints, action: Restore) -> None:
    with teardown.going_on(f"docker inspect {action.container}; {AGAIN}"):
        if not teardown.dry_run:
            endpoints.apply(action)
        teardown.tell(f"would {action}" if teardown.dry_run else f"done: {action}")
