"""The lab itself: it matches the drawing in `tests.lab`, and it leaves nothing on the machine."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

from tests.lab.commands import run
from tests.lab.engine_choice import on_every_engine
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import CHECKOUT
from tests.lab.processes import PROC, processes_in, start_time
from tests.lab.runs import CGROUPS, known_runs
from tests.lab.topology import Lab, eventually, hosts_of

LAB = (sys.executable, "-m", "tests.lab")

RULES = (("iptables-save",), ("ip6tables-save",), ("nft", "--stateless", "list", "ruleset"))
LINKS = (("ip", "-j", "addr"), ("ip", "-6", "-j", "route"), ("ip", "-6", "-j", "neigh", "show", "proxy"))
SYSCTLS = ("ipv6/conf/*/forwarding", "ipv6/conf/*/proxy_ndp", "ipv6/conf/*/accept_ra", "ipv4/ip_forward")
VOLATILE = re.compile(r'"(valid_life_time|preferred_life_time|expires)":\d+|^#.*$|\[\d+:\d+\]', re.MULTILINE)
"""Output that changes all the time on any machine: lifetimes, dates, counters."""


@on_every_engine("the lab has to hold all of them")
def test_engine_has_the_version_of_its_flavour(host: Host) -> None:
    """Each engine answers with the version in the test's ID."""
    version = host.engine.docker("version", "--format", "{{.Server.Version}}")
    assert version.startswith(host.engine.flavour.release)


@on_every_engine("the lab has to hold all of them")
def test_router_reaches_each_uplink(lab: Lab, host: Host) -> None:
    """Router and hosts share a segment."""
    assert eventually(lambda: lab.client.ping(host.address))


def test_container_runs_in_the_hosts_subnet(host: Host) -> None:
    """A container on `he_ipv6` has an address in the host's /80."""
    _start(host, "inside")
    assert _address(host, "inside") in host.subnet


def test_container_is_unreachable_without_proxy_entry(lab: Lab, host: Host) -> None:
    """Without a proxy entry the router gets no answer; with a manual one it does."""
    _start(host, "unproxied")
    address = _address(host, "unproxied")
    assert not lab.client.ping(address)
    host.namespace.set_sysctl(f"net.ipv6.conf.{UPLINK}.proxy_ndp", "1")
    host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "0")
    host.add_proxy_entry(address)
    assert host.proxy_entries() == {(address, UPLINK)}
    assert eventually(lambda: lab.client.ping(address))
    assert lab.client.ping(host.address)
    neighbours = lab.router.neighbours()
    assert neighbours[address].mac == neighbours[host.address].mac


def test_containers_survive_engine_kill_and_live_restore(host: Host) -> None:
    """They run on over a restart with live restore, and over a kill and start of the engine."""
    host.engine.restart(live_restore=True)
    _start(host, "survivor")
    before = _started_at(host, "survivor")
    host.engine.restart(live_restore=True)
    host.engine.kill()
    assert not host.engine.running
    host.engine.start()
    assert _started_at(host, "survivor") == before
    host.engine.restart()
    assert host.engine.docker("ps", "-q") == ""


@on_every_engine("the lab has to hold all of them")
def test_stopped_engine_leaves_no_process(host: Host) -> None:
    """After `kill` and `stop`, no container and no shim is left."""
    _start(host, "orphan")
    host.engine.kill()
    assert list(processes_in(host.namespace.path)), "the shim should still run"
    host.engine.stop()
    assert not list(processes_in(host.namespace.path))


def test_machine_is_untouched(lab: Lab) -> None:
    """Addresses, routes, sysctls and rules of the machine do not change, also while a lab runs."""
    before = _machine()
    with _lab_of_another_process() as process:
        assert _machine() == before
        process.terminate()
        assert process.wait(30) == 0
    assert _machine() == before
    assert not _traces(process.pid)
    assert lab.run.record.exists()


def test_killed_lab_is_removed_by_down(lab: Lab) -> None:
    """`down` removes what a killed run left, also a running container; a lab in use is kept."""
    with _lab_of_another_process() as process:
        (other,) = (run for run in known_runs() if run.pid == process.pid)
        for host in hosts_of(other):
            _start(host, "leftover")
        running = {
            pid: start_time(pid) for host in hosts_of(other) for pid in processes_in(host.namespace.path)
        }
        process.kill()
    assert len(_traces(process.pid)) > 5, "the killed lab should have left something"
    run(*LAB, "down", str(process.pid), cwd=CHECKOUT)
    assert not _traces(process.pid)
    assert not [pid for pid, started in running.items() if start_time(pid) == started]
    assert lab.client.ping(lab.hosts[0].address)


def test_down_keeps_a_lab_in_use(lab: Lab) -> None:
    """`down` does not stop the lab of a running test session."""
    done = run(*LAB, "down", str(lab.run.pid), cwd=CHECKOUT)
    assert "left alone" in done.stdout
    assert lab.client.ping(lab.hosts[0].address)


@contextmanager
def _lab_of_another_process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen((*LAB, "up"), cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any("the lab is up" in line for line in process.stdout or ())
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _start(host: Host, name: str) -> None:
    """Run a container on `he_ipv6`; create the network if it is missing."""
    if not host.engine.docker("network", "ls", "-q", "--filter", "name=he_ipv6"):
        host.create_network()
    host.engine.docker("run", "-d", "--name", name, "--network", "he_ipv6", "busybox:lab")


def _address(host: Host, name: str) -> IPv6Address:
    template = "{{.NetworkSettings.Networks.he_ipv6.GlobalIPv6Address}}"
    return IPv6Address(host.engine.docker("inspect", "--format", template, name))


def _started_at(host: Host, name: str) -> str:
    assert host.engine.docker("inspect", "--format", "{{.State.Running}}", name) == "true"
    return host.engine.docker("inspect", "--format", "{{.State.StartedAt}}", name)


def _machine() -> dict[str, str]:
    """Return the state of the machine's namespace that an engine or a lab might change."""
    shown = {" ".join(argv): VOLATILE.sub("", run(*argv).stdout) for argv in (*RULES, *LINKS)}
    files = [path for pattern in SYSCTLS for path in Path("/proc/sys/net").glob(pattern)]
    return shown | {str(path): path.read_text() for path in files}


def _traces(pid: int) -> list[str]:
    """Return files, mounts, cgroups and processes named after the run of process `pid`."""
    name = f"dim-{pid}"
    places = (Path("/run/netns"), Path("/var/lib"), CGROUPS, *CGROUPS.iterdir())
    traces = [str(path) for place in places if place.is_dir() for path in place.glob(f"{name}*")]
    traces += [str(path) for path in Path("/run").glob(f"*.{pid}.*")]
    traces += [line for line in (PROC / "self/mountinfo").read_text().splitlines() if name in line]
    traces += run("pgrep", "-af", name, check=False).stdout.splitlines()
    return traces
