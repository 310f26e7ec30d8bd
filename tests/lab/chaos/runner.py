"""Runs a sequence of steps on a host with its daemon, until the first failure."""

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import docker

from dockeripv6mapper.engine.recovery import LATE_SECONDS
from tests.lab.chaos.faults import SILENT, FaultInjector
from tests.lab.chaos.invariants import InvariantMonitor
from tests.lab.chaos.operations import Operations
from tests.lab.chaos.oracle import Oracle
from tests.lab.chaos.relay import Interception, Relay
from tests.lab.chaos.steps import (
    AddForeignEntry,
    AwaitConvergence,
    Fault,
    KillDaemon,
    KillDaemonAt,
    KillDaemonInMove,
    Step,
)
from tests.lab.chaos.user_settings import UserSettings
from tests.lab.commands import CommandError
from tests.lab.containers import EMPTY_PLAN, plan_of
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

RESYNC_SECONDS = 15.0
"""Period of the full passes. Long, so that a missed change is rarely repaired by a full pass in time."""
CONVERGENCE_SECONDS = 5.0
"""After a change that engine or kernel reports. After one that they do not, add one resync period."""
DAEMON_START_SECONDS = 30.0
"""Loading Python and the libraries takes long on a busy machine."""
CONNECTED = "connected to the engine"
CALLS_OF_A_MOVE = (b"/disconnect", b"/connect", b"/disconnect", b"/connect")
RESTARTS = (Fault.RESTART_ENGINE, Fault.RESTART_ENGINE_LIVE, Fault.KILL_ENGINE)
FORBIDDEN_LOG_TEXTS = ("Traceback", "unexpected: ")


@dataclass(frozen=True, slots=True)
class Failure:
    """The violations, and the number of steps before them."""

    after: int
    violations: tuple[str, ...]


class Runner:
    """A host with a daemon: prepared for a sequence on entry, reset on exit."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self._host = host
        self._user_settings = UserSettings()
        self._api = docker.APIClient(base_url=host.engine.url)
        self._fault_injector = FaultInjector(lab, host, self._user_settings)
        self._operations = Operations(host, self._api, self._user_settings)
        self._oracle = Oracle(host, self._api, self._user_settings)
        self._monitor = InvariantMonitor(host, self._api, self._user_settings, self._has_ended)
        self._relay = Relay(host.workdir / "relay.sock", host.engine.socket)
        options = ("--docker-host", self._relay.url, "--resync", str(RESYNC_SECONDS))
        self.mapper = Mapper(host, *options)
        self._daemon_lock = threading.Lock()
        self._may_kill = False
        """Whether the daemon may be killed. False during a convergence check."""
        self._killed = False
        self._killed_since_check = False
        """Whether it was killed since the last convergence check."""
        self._frozen = False
        self._connections = 1
        """Number of `CONNECTED` lines in the log once the present daemon is connected to the engine."""
        self._silent = False
        """Whether a `SILENT` fault was injected since the last convergence check."""
        self._exit_stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._api.close)
            self._host.reset()
            stack.callback(self._host.reset)
            self._fault_injector.set_up()
            stack.callback(self._fault_injector.take_down)
            self._operations.create_networks()
            stack.enter_context(self._relay)
            stack.enter_context(self.mapper)
            stack.callback(self._unblock)
            stack.enter_context(self._monitor)
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit_stack.__exit__(kind, error, trace)

    def run(self, steps: Sequence[Step]) -> Failure | None:
        """Run a sequence, then start every container that can start. Returns the first failure."""
        violations = self._await_convergence()
        for number, step in enumerate(steps, start=1):
            if not violations:
                self._carry_out(step)
                violations = (
                    self._await_convergence()
                    if step == AwaitConvergence()
                    else list(self._monitor.violations)
                )
            if violations:
                return Failure(number, tuple(violations))
        violations = self._await_convergence() or self._start_everything() or self._await_convergence()
        violations += [f"the log has {text!r}" for text in FORBIDDEN_LOG_TEXTS if text in self.mapper.log()]
        return Failure(len(steps), tuple(violations)) if violations else None

    def _carry_out(self, step: Step) -> None:
        match step:
            case AwaitConvergence():
                pass
            case KillDaemon(milliseconds):
                self._allow_kill()
                threading.Timer(milliseconds / 1000, self._kill).start()
            case KillDaemonAt(call, after):
                self._allow_kill()
                self._relay.intercept(Interception((f"/{call}".encode(),), after, self._kill))
            case KillDaemonInMove(call, after):
                self._allow_kill()
                self._relay.intercept(Interception(CALLS_OF_A_MOVE[:call], after, self._kill))
            case AddForeignEntry(suffix):
                self._add_foreign_entry(suffix)
            case Fault():
                self._inject(step)
            case _:
                self._operations.carry_out(step)

    def _inject(self, fault: Fault) -> None:
        self._silent |= fault in SILENT
        if fault is not Fault.FLUSH_PROXIES:
            self._monitor.suspended.set()
        match fault:
            case Fault.RESTART_DAEMON:
                self._restart()
            case Fault.FREEZE_DAEMON:
                self._freeze()
            case Fault.CUT_CONNECTIONS:
                self._relay.cut()
            case Fault.LOSE_EVENTS:
                self._relay.drop_events = True
            case _:
                self._fault_injector.inject(fault)
                if fault in RESTARTS:
                    self._user_settings.engine_restarted()

    # --- the daemon ---------------------------------------------------------------------------------------

    def _has_ended(self) -> bool:
        return not self.mapper.running and not self._killed

    def _allow_kill(self) -> None:
        self._monitor.suspended.set()
        self._may_kill = True

    def _kill(self) -> None:
        with self._daemon_lock:
            if self._may_kill and self.mapper.running:
                self._killed = self._killed_since_check = True
                self.mapper.kill()

    def _restart(self) -> None:
        self._unblock()
        with self._daemon_lock:
            if self.mapper.running:
                # Before the daemon has installed its handlers, the signal itself ends the process.
                code = self.mapper.stop()
                assert code in (0, -signal.SIGTERM), f"exit code {code}:\n{self.mapper.log()}"
            self._start()

    def _start(self) -> None:
        self._killed = False
        self._connections = self.mapper.log().count(CONNECTED) + 1
        self.mapper.start()

    def _freeze(self) -> None:
        with self._daemon_lock:
            if self.mapper.running:
                os.kill(self.mapper.pid, signal.SIGSTOP)
                self._frozen = True

    def _unblock(self) -> None:
        """End everything that keeps the daemon from working."""
        self._relay.pass_everything()
        with self._daemon_lock:
            self._may_kill = False
            if self._frozen and self.mapper.running:
                os.kill(self.mapper.pid, signal.SIGCONT)
            self._frozen = False

    def _ensure_running(self) -> None:
        self._unblock()
        with self._daemon_lock:
            if self._killed:
                self._start()
        eventually(self._is_connected, DAEMON_START_SECONDS, every=0.2)

    def _is_connected(self) -> bool:
        return self.mapper.log().count(CONNECTED) >= self._connections

    # --- convergence ---------------------------------------------------------------------------------------

    def _await_convergence(self) -> list[str]:
        """Wait until the state is as expected; returns the differences that remain."""
        self._ensure_running()
        within = CONVERGENCE_SECONDS + (
            RESYNC_SECONDS if self._silent or self._operations.silent_change else 0
        )
        # The engine may still carry out a call of the killed process until then.
        within += LATE_SECONDS if self._killed_since_check else 0
        try:
            eventually(lambda: not self._oracle.differences(), within, every=0.1)
        except AssertionError:
            if differences := self._oracle.differences():
                state = "runs" if self.mapper.running else "does not run"
                return [f"the daemon {state}", *differences, *self._monitor.violations]
        try:
            eventually(lambda: self._remaining_plan() == [], within)
        except AssertionError:
            return [f"still planned: {each}" for each in self._remaining_plan()]
        self._silent = self._operations.silent_change = self._killed_since_check = False
        self._monitor.suspended.clear()
        return [*self._monitor.violations, *self._start_containers(list(self._operations.failed_starts))]

    def _remaining_plan(self) -> list[str]:
        plan = plan_of(self._host)
        return [
            f"{key}: {plan[key]}" for key in EMPTY_PLAN if key != "refusals" and plan[key] != EMPTY_PLAN[key]
        ]

    def _start_everything(self) -> list[str]:
        return self._start_containers([each["Id"] for each in self._api.containers(all=True)])

    def _start_containers(self, container_ids: Sequence[str]) -> list[str]:
        """Start the containers whose user settings allow it; returns the failures."""
        violations = []
        for container_id in container_ids:
            self._operations.failed_starts.pop(container_id, None)
            if self._operations.should_start(container_id):
                self._operations.start(container_id)
                if error := self._operations.failed_starts.pop(container_id, None):
                    violations.append(f"a container cannot be started: {error}")
        return violations

    def _add_foreign_entry(self, suffix: int) -> None:
        """Add a foreign proxy entry, unless there is an entry: adding it again would not make it foreign."""
        entry = self._host.subnet[suffix], UPLINK
        if entry not in self._host.proxy_entries():
            try:
                self._host.add_proxy_entry(entry[0])
            except CommandError:  # the link is down
                return
            self._user_settings.entries.add(entry)
