"""The daemon's process: checks before the start, wiring, threads, signals."""

import faulthandler
import logging
import signal
import sys
from contextlib import ExitStack, suppress
from types import FrameType

from dockeripv6mapper import __version__
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.observers import Meter, ServiceManager
from dockeripv6mapper.controller.queue import FirewallChanged, HostChanged, ResyncNow, Stop
from dockeripv6mapper.daemon import lock
from dockeripv6mapper.daemon.systemd import Notifier
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.events import EventReader
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.engine.refusals import RefusalRecord
from dockeripv6mapper.errors import EngineUnavailableError, MapperError
from dockeripv6mapper.kernel.host import Kernel
from dockeripv6mapper.kernel.netlink import require_net_admin
from dockeripv6mapper.kernel.requirements import require_proxying
from dockeripv6mapper.kernel.watch import FirewallWatcher, Watcher
from dockeripv6mapper.settings import FirewallMode, NdSource, ProxyMode, Settings

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How long one thread runs while another waits for the interpreter. With its default of 5 ms, a create event
that arrives during a pass waits for 5.1 ms (measured), and 0.6 ms with this."""


def run(settings: Settings, service: ServiceManager | None = None) -> None:
    """Run in the foreground until SIGTERM or SIGINT. Raises `MapperError` if it cannot start.

    `service` receives readiness and status; None: the service manager in the environment, if any.
    """
    client = Client(settings.docker_host)
    _check(client, settings)
    with ExitStack() as stack:
        journal = Journal(settings.state_dir)
        if not settings.dry_run:
            stack.enter_context(lock.single_daemon(settings.state_dir))
            journal.prepare()
        kernel = Kernel(settings.state_dir, settings.sysctl_dir)
        stack.callback(kernel.close)
        meter = _metrics(stack, settings) or Meter()
        watcher = Watcher(lambda: controller.post(HostChanged()))
        controller = Controller(
            *(client, Endpoints(client, journal), kernel, settings),
            stop_events=lambda: reader.stop(),  # noqa: PLW0108 - the reader is made below
            watch=watcher.watch,
            service=service or Notifier.of_environment(),
            meter=meter,
            record=None if settings.dry_run else RefusalRecord(settings.state_dir),
        )
        reader = EventReader(client, controller.deliver)
        _handle_signals(controller)
        dry = " (dry run: nothing is changed)" if settings.dry_run else ""
        log.info("DockerIPV6Mapper %s%s", __version__, dry)
        sys.setswitchinterval(SWITCH_SECONDS)
        _start_responder(kernel, settings, meter)
        watcher.start()
        stack.callback(watcher.stop)
        _watch_firewall(stack, controller, settings)
        reader.start()
        stack.callback(reader.stop)
        controller.run()


def _start_responder(kernel: Kernel, settings: Settings, meter: Meter) -> None:
    """Have solicitations answered where the kernel's answers do not get through. Failure is not fatal."""
    if settings.dry_run or settings.nd_source is NdSource.KERNEL:
        return
    try:
        kernel.start_responder(settings.nd_source, meter.answered)
    except MapperError as error:
        remedy = f" ({error.hint})" if error.hint else ""
        log.warning("%s; only the kernel answers them%s", error, remedy)


def _watch_firewall(stack: ExitStack, controller: Controller, settings: Settings) -> None:
    """Have changes of our firewall rules reported, where the kernel reports them."""
    if settings.firewall is FirewallMode.OFF or settings.dry_run:
        return
    try:
        watcher = FirewallWatcher(lambda: controller.post(FirewallChanged()))
    except OSError as error:
        log.info("not watching nftables (%s): flushed rules are back after up to --resync", error.strerror)
        return
    watcher.start()
    stack.callback(watcher.stop)


def _metrics(stack: ExitStack, settings: Settings) -> Meter | None:
    """The metrics server, if one is configured. Raises `MapperError`."""
    if settings.metrics is None:
        return None
    try:
        from dockeripv6mapper.report.metrics import Metrics  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise MapperError(
            f"serving metrics: {error}", hint=f"{sys.prefix}/bin/pip install prometheus-client"
        ) from error
    return stack.enter_context(Metrics(*settings.metrics))


def _handle_signals(controller: Controller) -> None:
    """SIGTERM and SIGINT: stop. SIGHUP: full pass. SIGABRT: print the stack of each thread, then die."""

    def stop(number: int, _frame: FrameType | None) -> None:
        log.info("stopping on %s: addresses and proxy entries stay", signal.Signals(number).name)
        controller.post(Stop())

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, lambda _number, _frame: controller.post(ResyncNow()))
    faulthandler.enable()


def _check(client: Client, settings: Settings) -> None:
    """Raise `MapperError` for a condition that no retry can cure: missing privilege, unusable directory."""
    if not settings.dry_run and (settings.sysctl or settings.proxy is not ProxyMode.OFF):
        require_net_admin()
        require_proxying()
    if not settings.dry_run:
        try:
            settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise MapperError(
                f"creating the state directory {settings.state_dir}: {error.strerror}",
                hint="--state-dir DIRECTORY names another",
            ) from error
    with suppress(EngineUnavailableError):
        client.require_access()
