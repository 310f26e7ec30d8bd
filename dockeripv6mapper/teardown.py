"""The teardown, for `cleanup`: remove everything of the mapper's from the host.

It goes on after a failure and reports all failures together at its end, each with a command for removal by
hand. The kernel's objects come first, since their removal needs no engine.

A note in the journal is the only record of a container that the daemon detached from a network and has not
attached again. It is removed only after the container is attached.
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
from dockeripv6mapper.firewall_rules import COMMENT
from dockeripv6mapper.kernel import commands, ip6tables, nft_table
from dockeripv6mapper.kernel.host import RECORD, Kernel
from dockeripv6mapper.kernel.nft_ruleset import TABLE
from dockeripv6mapper.mapping.networks import SHORT_ID_DIGITS
from dockeripv6mapper.settings import Settings

RUN_AGAIN = "DockerIPV6Mapper.py cleanup"


def tear_down(settings: Settings, output: Callable[[str], None], files: Iterable[Path]) -> None:
    """Remove everything of the mapper's, and the daemon's `files`. In a dry run, change nothing.

    Calls `output` with one line for each object. Raises an `ExceptionGroup` of `MapperError`s.
    """
    teardown = Teardown(output, dry_run=settings.dry_run)
    with teardown.collect_errors():
        _remove_proxies(teardown, settings)
    _remove_firewall(teardown)
    _finish_reconnects(teardown, settings)
    teardown.remove_files(files)
    teardown.finish()


class Teardown:
    """The lines to print and the failures so far."""

    def __init__(self, output: Callable[[str], None], *, dry_run: bool) -> None:
        self._output = output
        self.dry_run = dry_run
        self._changed = False
        self._errors: list[MapperError] = []

    @contextmanager
    def collect_errors(self, hint: str | None = None) -> Iterator[None]:
        """Collect a `MapperError` of the block; `hint` applies if the error has none."""
        try:
            yield
        except MapperError as error:
            error.hint = error.hint or hint
            self._errors.append(error)

    def remove(self, target: object, remove: Callable[[], object], by_hand: str) -> None:
        """Call `remove`, unless in a dry run; `by_hand` is the command to print if that fails."""
        with self.collect_errors(by_hand):
            try:
                if not self.dry_run:
                    remove()
            except MapperError as error:
                raise MapperError(f"removing {target}: {error}", hint=error.hint) from error
            except OSError as error:
                raise MapperError(f"removing {target}: {error.strerror}") from error
            self.report(f"would remove {target}" if self.dry_run else f"removed {target}")

    def remove_files(self, files: Iterable[Path]) -> None:
        """Remove those that exist."""
        for path in files:
            if os.path.lexists(path):
                self.remove(f"file {path}", path.unlink, shlex.join(("rm", str(path))))

    def report(self, line: str) -> None:
        """Print what was done, or would be done."""
        self._changed = True
        self._output(line)

    def finish(self) -> None:
        """Raise the collected errors as one group."""
        if self._errors:
            raise ExceptionGroup("cleaning up", self._errors)
        if not self._changed:
            self._output("nothing to remove: nothing carries the mapper's mark")


def _remove_proxies(teardown: Teardown, settings: Settings) -> None:
    """Remove our proxy entries on all links, then the record of which entries are ours."""
    kernel = Kernel(settings.state_dir)
    try:
        ours = sorted(entry for entry, is_ours in kernel.observe().entries.items() if is_ours)
        outcome = kernel.remove_proxies(() if teardown.dry_run else ours)
    finally:
        kernel.close()
    for entry in ours if teardown.dry_run else outcome.done:
        teardown.report(f"{'would remove' if teardown.dry_run else 'removed'} proxy entry {entry}")
    for entry, error in outcome.failed.items():
        with teardown.collect_errors(f"ip -6 neigh del proxy {entry.address} dev {entry.uplink}"):
            raise error
    if not outcome.failed:
        record = settings.state_dir / RECORD
        teardown.remove_files((record, record.with_suffix(".draft")))


def _remove_firewall(teardown: Teardown) -> None:
    """Remove our nftables table, and our rules in the engine's chains."""
    with teardown.collect_errors(f"nft delete table {TABLE}"):
        if nft_table.exists():
            teardown.remove(f"table {TABLE}", nft_table.remove, f"nft delete table {TABLE}")
    for command in commands.backends():
        with teardown.collect_errors(f"{command}-save | grep {COMMENT}"):
            for rule in list(ip6tables.our_rules(command)):
                teardown.remove(rule, rule.remove, shlex.join(rule.removal))


def _finish_reconnects(teardown: Teardown, settings: Settings) -> None:
    """Attach containers that a daemon detached from a network before it was killed."""
    journal = Journal(settings.state_dir)
    with teardown.collect_errors():
        teardown.remove_files(journal.drafts())
        if container_ids := journal.container_ids():
            client = Client(settings.docker_host)
            _ping(client, container_ids, journal)
            endpoints = Endpoints(client, journal)
            for container_id in container_ids:
                _finish(teardown, endpoints, Restore(container_id, container_id[:SHORT_ID_DIGITS]))
        for path in journal.unreadable():
            _keep_unreadable(teardown, path)
        directory = journal.directory
        if directory.exists() and (teardown.dry_run or not any(directory.iterdir())):
            teardown.remove(f"directory {directory}", directory.rmdir, shlex.join(("rmdir", str(directory))))


def _keep_unreadable(teardown: Teardown, note: Path) -> None:
    """Keep an unreadable note: it is the only record of a container that may be detached. Report an error."""
    container = note.name[:SHORT_ID_DIGITS]
    with teardown.collect_errors(f"docker inspect {container}; rm {shlex.quote(str(note))}"):
        raise MapperError(f"finishing the interrupted change of container {container}: {note} cannot be read")


def _ping(client: Client, container_ids: Iterable[str], journal: Journal) -> None:
    try:
        client.ping()
    except EngineUnavailableError as error:
        names = ", ".join(container_id[:SHORT_ID_DIGITS] for container_id in container_ids)
        raise MapperError(
            f"finishing the interrupted change of container {names}: {error}; keeping {journal.directory}",
            hint=f"{error.hint} && {RUN_AGAIN}" if error.hint else RUN_AGAIN,
        ) from error


def _finish(teardown: Teardown, endpoints: Endpoints, action: Restore) -> None:
    with teardown.collect_errors(f"docker inspect {action.container}; {RUN_AGAIN}"):
        if not teardown.dry_run:
            endpoints.apply(action)
        teardown.report(f"would {action}" if teardown.dry_run else f"done: {action}")
