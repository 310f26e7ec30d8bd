"""The lab's own promises: it is what the drawing says, and it leaves nothing behind."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

from tests.lab.commands import run
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import CHECKOUT
from tests.lab.processes import PROC, processes_in, start_time
from tests.lab.runs import CGROUPS, known_runs
from tests.lab.topology import Lab, eventually, hosts_of

LAB = (sys.executable, "-m", "tests.lab")

RULES = (("iptables-save",), ("ip6tables-save",), ("nft", "--stateless", "list", "ruleset"))
LINKS = (("ip", "-j", "addr"), ("ip", "-6", "-j", "route"), ("ip", "-6", "-j", "neigh", "show", "proxy"))
SYSCTLS = ("ipv6/conf/*/forwarding", "ipv6/conf/*/proxy_ndp", "ipv6/conf/*/accept_ra", "ipv4/ip_forward")
PASSING = re.compile(r'"(valid_life_time|preferred_life_time|expires)":\d+|^#.*$|\[\d+:\d+\]', re.MULTILINE)
"""What differs from one moment to the next on any machine: lifetimes, dates, counters."""


def test_engine_is_of_the_release_that_its_flavour_names(host: Host) -> None:
    """Each engine answers, and is the one that the test's name says."""
    version = host.engine.docker("version", "--format", "{{.Server.Version}}")
    assert version.startswith(host.engine.flavour.release)


def test_router_reaches_each_uplink(lab: Lab, host: Host) -> None:
    """Router and hosts share a segment."""
    assert eventually(lambda: lab.router.ping(host.address))


def test_container_runs_in_the_hosts_subnet(host: Host) -> None:
    """A container on `he_ipv6` has an address in the host's /80 from its start."""
    _start(host, "inside")
    assert _address(host, "inside") in host.subnet


def test_container_is_unreachable_without_proxy_entry(lab: Lab, host: Host) -> None:
    """The lab has the problem that the mapper is for, and a proxy entry by hand solves it."""
    _start(host, "outpost")
    address = _address(host, "outpost")
    assert not lab.router.ping(address)
    host.namespace.set_sysctl(f"net.ipv6.conf.{UPLINK}.proxy_ndp", "1")
    host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "0")
    host.add_proxy_entry(address)
    assert host.proxy_entries() == {(address, UPLINK)}
    assert eventually(lambda: lab.router.ping(address))
    assert lab.router.ping(host.address)
    neighbours = lab.router.neighbours()
    assert neighbours[address].mac == neighbours[host.address].mac


def test_containers_live_through_kill_and_live_restore(host: Host) -> None:
    """An engine's restart with live restore, and a killed engine's next start, find them running."""
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


def test_stopped_engine_leaves_no_process(host: Host) -> None:
    """Also a killed engine's containers and shims are gone after `stop`."""
    _start(host, "orphan")
    host.engine.kill()
    assert list(processes_in(host.namespace.path)), "the shim is still there"
    host.engine.stop()
    assert not list(processes_in(host.namespace.path))


def test_machine_is_untouched(lab: Lab) -> None:
    """Addresses, routes, sysctls and rules of the machine's own namespace are as before, also meanwhile."""
    before = _machine()
    with _lab_of_another_process() as process:
        assert _machine() == before
        process.terminate()
        assert process.wait(30) == 0
    assert _machine() == before
    assert not _traces(process.pid)
    assert lab.run.record.exists()


def test_killed_lab_is_swept(lab: Lab) -> None:
    """`down` removes all that a killed run left, a running container included, and no living run."""
    with _lab_of_another_process() as process:
        (theirs,) = (run for run in known_runs() if run.pid == process.pid)
        for host in hosts_of(theirs):
            _start(host, "left")
        running = {
            pid: start_time(pid) for host in hosts_of(theirs) for pid in processes_in(host.namespace.path)
        }
        process.kill()
    assert len(_traces(process.pid)) > 5, "the test would see what is left"
    run(*LAB, "down", str(process.pid), cwd=CHECKOUT)
    assert not _traces(process.pid)
    assert not [pid for pid, started in running.items() if start_time(pid) == started]
    assert lab.router.ping(lab.hosts[0].address)


def test_down_leaves_a_lab_in_use_alone(lab: Lab) -> None:
    """A lab that a living test run uses is neither ended nor swept by `down`."""
    done = run(*LAB, "down", str(lab.run.pid), cwd=CHECKOUT)
    assert "left alone" in done.stdout
    assert lab.router.ping(lab.hosts[0].address)


@contextmanager
def _lab_of_another_process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen((*LAB, "up"), cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any("the lab is up" in line for line in process.stdout or ())
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _start(host: Host, name: str) -> None:
    """Run a container on the host's labelled network, which is created where it is missing."""
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
    """Return what the machine's own namespace holds that an engine or a lab might change."""
    shown = {" ".join(argv): PASSING.sub("", run(*argv).stdout) for argv in (*RULES, *LINKS)}
    files = [path for pattern in SYSCTLS for path in Path("/proc/sys/net").glob(pattern)]
    return shown | {str(path): path.read_text() for path in files}


def _traces(pid: int) -> list[str]:
    """Return all that bears the name of that process's run: files, mounts, cgroups, processes."""
    name = f"dim-{pid}"
    places = (Path("/run/netns"), Path("/var/lib"), CGROUPS, *CGROUPS.iterdir())
    found = [str(path) for place in places if place.is_dir() for path in place.glob(f"{name}*")]
    found += [str(path) for path in Path("/run").glob(f"*.{pid}.*")]
    found += [line for line in (PROC / "self/mountinfo").read_text().splitlines() if name in line]
    found += run("pgrep", "-af", name, check=False).stdout.splitlines()
    return found
