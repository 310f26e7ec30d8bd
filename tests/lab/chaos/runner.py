"""The stage: a host, its daemon, and a sequence carried out on it until something breaks."""

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
"""Long enough that most of what is not heard of is not found by chance in time."""
WITHIN_SECONDS = 5.0
"""How soon all must be right after something of which engine or kernel tells; else one resync later."""
STARTED_SECONDS = 30.0
"""How long the daemon may take to start: an interpreter and its libraries, on a machine that is busy."""
CONNECTED = "connected to the engine"
CALLS_OF_A_MOVE = (b"/disconnect", b"/connect", b"/disconnect", b"/connect")
RESTARTS = (Fault.RESTART_ENGINE, Fault.RESTART_ENGINE_LIVE, Fault.KILL_ENGINE)
ALARMS = ("Traceback", "unexpected: ")
"""What the daemon's log must never say."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What did not hold, and after how many steps of the sequence."""

    after: int
    what: tuple[str, ...]


class Runner:
    """A host with a daemon, made ready for a sequence and left as it was."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self._host = host
        self._user_settings = UserSettings()
        self._api = docker.APIClient(base_url=host.engine.url)
        self._fault_injector = FaultInjector(lab, host, self._user_settings)
        self._operations = Operations(host, self._api, self._user_settings)
        self._oracle = Oracle(host, self._api, self._user_settings)
        self._monitor = InvariantMonitor(host, self._api, self._user_settings, self._ended)
        self._relay = Relay(host.workdir / "relay.sock", host.engine.socket)
        options = ("--docker-host", self._relay.url, "--resync", str(RESYNC_SECONDS))
        self.mapper = Mapper(host, *options)
        self._killing = threading.Lock()
        self._may_kill = False
        """Whether the daemon may be killed: not any more, once a pause has begun."""
        self._killed = False
        self._was_killed = False
        """Whether it was killed since the last pause."""
        self._frozen = False
        self._connections = 1
        """How many times the log must say that the daemon is connected before it can be held to anything."""
        self._silent = False
        """Whether something happened since the last pause that only a full pass finds."""
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
        """Carry out a sequence, and start at its end what can be started; returns what broke, if anything."""
        wrong = self._await_convergence()
        for number, step in enumerate(steps, start=1):
            if not wrong:
                self._carry_out(step)
                wrong = (
                    self._await_convergence() if step == AwaitConvergence() else list(self._monitor.broken)
                )
            if wrong:
                return Failure(number, tuple(wrong))
        wrong = self._await_convergence() or self._start_everything() or self._await_convergence()
        wrong += [f"the log says {alarm!r}" for alarm in ALARMS if alarm in self.mapper.log()]
        return Failure(len(steps), tuple(wrong)) if wrong else None

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
                self._make_entry(suffix)
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

    def _ended(self) -> bool:
        return not self.mapper.running and not self._killed

    def _allow_kill(self) -> None:
        self._monitor.suspended.set()
        self._may_kill = True

    def _kill(self) -> None:
        with self._killing:
            if self._may_kill and self.mapper.running:
                self._killed = self._was_killed = True
                self.mapper.kill()

    def _restart(self) -> None:
        self._unblock()
        with self._killing:
            if self.mapper.running:
                # One that has not come to its first line yet is ended by the signal itself.
                code = self.mapper.stop()
                assert code in (0, -signal.SIGTERM), f"exit code {code}:\n{self.mapper.log()}"
            self._start()

    def _start(self) -> None:
        self._killed = False
        self._connections = self.mapper.log().count(CONNECTED) + 1
        self.mapper.start()

    def _freeze(self) -> None:
        with self._killing:
            if self.mapper.running:
                os.kill(self.mapper.pid, signal.SIGSTOP)
                self._frozen = True

    def _unblock(self) -> None:
        """End all that keeps the daemon from its work."""
        self._relay.pass_everything()
        with self._killing:
            self._may_kill = False
            if self._frozen and self.mapper.running:
                os.kill(self.mapper.pid, signal.SIGCONT)
            self._frozen = False

    def _ensure_running(self) -> None:
        self._unblock()
        with self._killing:
            if self._killed:
                self._start()
        eventually(self._is_connected, STARTED_SECONDS, every=0.2)

    def _is_connected(self) -> bool:
        return self.mapper.log().count(CONNECTED) >= self._connections

    # --- the pauses ---------------------------------------------------------------------------------------

    def _await_convergence(self) -> list[str]:
        """Wait until all is as it should be; returns what is not."""
        self._ensure_running()
        within = WITHIN_SECONDS + (RESYNC_SECONDS if self._silent or self._operations.silent_change else 0)
        # A call of the process that was killed may be carried out until then.
        within += LATE_SECONDS if self._was_killed else 0
        try:
            eventually(lambda: not self._oracle.differences(), within, every=0.1)
        except AssertionError:
            if differences := self._oracle.differences():
                state = "runs" if self.mapper.running else "does not run"
                return [f"the daemon {state}", *differences, *self._monitor.broken]
        try:
            eventually(lambda: self._still_planned() == [], within)
        except AssertionError:
            return [f"still planned: {each}" for each in self._still_planned()]
        self._silent = self._operations.silent_change = self._was_killed = False
        self._monitor.suspended.clear()
        return [*self._monitor.broken, *self._start_again(list(self._operations.failed_starts))]

    def _still_planned(self) -> list[str]:
        plan = plan_of(self._host)
        return [
            f"{what}: {plan[what]}"
            for what in EMPTY_PLAN
            if what != "refusals" and plan[what] != EMPTY_PLAN[what]
        ]

    def _start_everything(self) -> list[str]:
        return self._start_again([each["Id"] for each in self._api.containers(all=True)])

    def _start_again(self, container_ids: Sequence[str]) -> list[str]:
        """Start what is not kept from it by its own user; returns what could not be started."""
        wrong = []
        for container_id in container_ids:
            self._operations.failed_starts.pop(container_id, None)
            if self._operations.should_start(container_id):
                self._operations.start(container_id)
                if error := self._operations.failed_starts.pop(container_id, None):
                    wrong.append(f"a container cannot be started: {error}")
        return wrong

    def _make_entry(self, suffix: int) -> None:
        """Make an entry as somebody else, where there is none: adding over one leaves it as it is."""
        entry = self._host.subnet[suffix], UPLINK
        if entry not in self._host.proxy_entries():
            try:
                self._host.add_proxy_entry(entry[0])
            except CommandError:  # the link is down
                return
            self._user_settings.entries.add(entry)
