"""Runs: who owns which lab, and how all of it is removed, also after a `kill -9`.

Everything that a run makes is named after its owner's process, `dim-<pid>`, so one small record, laid
down before anything else, is enough to find it all. The processes need no record: whatever runs
inside one of the run's network namespaces is the run's.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.lab.commands import CommandError, run
from tests.lab.namespaces import DIRECTORY, Namespace
from tests.lab.processes import kill_processes_in, start_time
from tests.lab.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = Path("/run")
RECORD = re.compile(r"dockeripv6mapper-lab\.(?P<pid>\d+)\.(?P<started>\d+)\.(?P<purpose>\w+)")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Run:
    """One use of the lab by one process, which has at most one at a time."""

    pid: int
    started: int
    purpose: str
    """What the lab is up for: `up`, `tests`, `demo`."""

    @classmethod
    def of_this_process(cls, purpose: str) -> Self:
        """Return the run that this process may claim."""
        started = start_time(os.getpid())
        assert started is not None
        return cls(os.getpid(), started, purpose)

    @property
    def name(self) -> str:
        """What the name of everything that belongs to this run begins with."""
        return f"dim-{self.pid}"

    @property
    def workdir(self) -> Path:
        """All files of the run. On a disk: overlay2 does not work everywhere on what may be a tmpfs."""
        return Path("/var/lib") / self.name

    @property
    def record(self) -> Path:
        """The empty file whose name says that this run exists: it appears whole or not at all."""
        return RECORDS / f"dockeripv6mapper-lab.{self.pid}.{self.started}.{self.purpose}"

    @property
    def alive(self) -> bool:
        """Whether the owner still runs."""
        return start_time(self.pid) == self.started

    def namespace(self, label: str) -> Namespace:
        """Return a namespace that will be swept with this run; it is not created yet."""
        return Namespace(f"{self.name}-{label}")

    def create(self) -> None:
        """Lay down the record, then make the work directory."""
        self.record.touch(exist_ok=False)
        self.workdir.mkdir(mode=0o755)

    def sweep(self) -> None:
        """Remove everything of this run, the record last. May be repeated, and by anybody.

        Goes on after a failure, and raises all of them as one `ExceptionGroup`.
        """
        namespaces = [Namespace(path.name) for path in DIRECTORY.glob(f"{self.name}-*")]
        steps: tuple[Callable[[], None], ...] = (
            self._thaw,
            *(partial(kill_processes_in, each.path) for each in namespaces),
            *(each.delete for each in namespaces),
            self._remove_cgroups,
            self._remove_files,
        )
        failures: list[Exception] = []
        for step in steps:
            try:
                step()
            except (OSError, CommandError, AssertionError) as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup(f"sweeping the lab of process {self.pid}", failures)
        self.record.unlink(missing_ok=True)

    def _thaw(self) -> None:
        # Nothing that is frozen, as a paused container's processes are, can end.
        for top in [*CGROUPS.glob(f"{self.name}-*"), *CGROUPS.glob(f"freezer/{self.name}-*")]:
            for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                for file in top.rglob(name):
                    file.write_text(word)

    def _remove_cgroups(self) -> None:
        # One hierarchy (v2) or one for each controller (v1): an engine's parent is at the top of each.
        for top in [*CGROUPS.glob(f"{self.name}-*"), *CGROUPS.glob(f"*/{self.name}-*")]:
            eventually(partial(_remove_cgroup, top))

    def _remove_files(self) -> None:
        if self.workdir.exists():
            run("rm", "-rf", "--one-file-system", str(self.workdir))


def known_runs() -> list[Run]:
    """Return every run that has a record, living or not, in order of their start."""
    found = [RECORD.fullmatch(path.name) for path in RECORDS.iterdir()]
    runs = [Run(int(each["pid"]), int(each["started"]), each["purpose"]) for each in found if each]
    return sorted(runs, key=lambda run: run.started)


def sweep_dead_runs() -> list[Run]:
    """Sweep what killed runs left, and return them. A living owner's run is left alone."""
    dead = [run for run in known_runs() if not run.alive]
    for each in dead:
        each.sweep()
    return dead


def _remove_cgroup(top: Path) -> bool:
    # A cgroup that still holds a dying process is busy for a moment.
    for path, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
    return not top.exists()
