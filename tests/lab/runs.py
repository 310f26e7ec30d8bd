"""Runs of the lab: which process owns which lab, and the removal of a lab, also after `kill -9`.

All resources of a run are named after its owner, `dim-<pid>`. An empty file, the record, is created first,
so that another process can find the run. Processes are not recorded: those inside the run's network
namespaces belong to it.
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
    """One lab, owned by one process. A process has at most one lab."""

    pid: int
    started: int
    purpose: str
    """What the lab is used for: `up`, `tests` or `demo`."""

    @classmethod
    def of_this_process(cls, purpose: str) -> Self:
        """Return the run of this process, not yet created."""
        started = start_time(os.getpid())
        assert started is not None
        return cls(os.getpid(), started, purpose)

    @property
    def name(self) -> str:
        """Prefix of the names of all resources of this run."""
        return f"dim-{self.pid}"

    @property
    def workdir(self) -> Path:
        """Directory of the run's files. Below /var/lib: overlay2 may not work on a tmpfs."""
        return Path("/var/lib") / self.name

    @property
    def record(self) -> Path:
        """The record: an empty file whose name has all fields, so that its creation is atomic."""
        return RECORDS / f"dockeripv6mapper-lab.{self.pid}.{self.started}.{self.purpose}"

    @property
    def alive(self) -> bool:
        """Whether the owner process still runs."""
        return start_time(self.pid) == self.started

    def namespace(self, label: str) -> Namespace:
        """Return a namespace, not yet created, that is removed with this run."""
        return Namespace(f"{self.name}-{label}")

    def create(self) -> None:
        """Create the record, then the work directory."""
        self.record.touch(exist_ok=False)
        self.workdir.mkdir(mode=0o755)

    def sweep(self) -> None:
        """Remove all resources of this run, the record last. Any process may call it, repeatedly.

        Goes on after a failure, and raises all failures as one `ExceptionGroup`.
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
        # A frozen process (paused container) may not exit on SIGKILL.
        for top in [*CGROUPS.glob(f"{self.name}-*"), *CGROUPS.glob(f"freezer/{self.name}-*")]:
            for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                for file in top.rglob(name):
                    file.write_text(word)

    def _remove_cgroups(self) -> None:
        # One hierarchy (v2), or one for each controller (v1); each has the engine's cgroup parent.
        for top in [*CGROUPS.glob(f"{self.name}-*"), *CGROUPS.glob(f"*/{self.name}-*")]:
            eventually(partial(_remove_cgroup, top))

    def _remove_files(self) -> None:
        if self.workdir.exists():
            run("rm", "-rf", "--one-file-system", str(self.workdir))


def known_runs() -> list[Run]:
    """Return all runs with a record, running or not, ordered by start time."""
    matches = [RECORD.fullmatch(path.name) for path in RECORDS.iterdir()]
    runs = [Run(int(each["pid"]), int(each["started"]), each["purpose"]) for each in matches if each]
    return sorted(runs, key=lambda run: run.started)


def sweep_dead_runs() -> list[Run]:
    """Remove the runs whose owner has ended, and return them."""
    dead = [run for run in known_runs() if not run.alive]
    for each in dead:
        each.sweep()
    return dead


def _remove_cgroup(top: Path) -> bool:
    # rmdir fails with EBUSY while a process in the cgroup is still exiting.
    for path, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
    return not top.exists()
