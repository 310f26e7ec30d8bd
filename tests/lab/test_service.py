"""The systemd service: installed as documented, under a real systemd with its watchdog."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.lab import documented_commands
from tests.lab.containers import LABEL, WEB_SERVER, reaches, run_labelled, wait_until_mapped
from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import Host
from tests.lab.systemd import SHARED, Machine
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

UNIT = "DockerIPV6Mapper"
OPERATIONS = "docs/operations.md"
OPTIONS = "/etc/default/DockerIPV6Mapper"
ENGINE = f"DOCKERIPV6MAPPER_DOCKER_HOST=unix://{SHARED}/engine/docker.sock\n"
SHORT_WATCHDOG = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n"
"""Drop-in: the unit's watchdog with short timeouts."""
MAX_EXPOSURE = 2.0
"""Exposure level of `systemd-analyze security`: 0 (safe) to 10."""


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[Machine]:
    """A machine on the modern engine's host, with the program installed and its unit enabled."""
    host = lab.host(Flavour.MODERN)
    host.reset()
    host.create_network()
    with Machine(host) as machine:
        machine.write(OPTIONS, ENGINE)
        machine.shell(documented_commands.script("Install", str(machine.checkout)))
        yield machine
    host.reset()


@pytest.fixture
def host(machine: Machine) -> Iterator[Host]:
    """The machine's host without containers; the service is restarted."""
    containers = machine.host.engine.docker("ps", "--all", "--quiet").split()
    if containers:
        machine.host.engine.docker("rm", "--force", *containers)
    machine.run("systemctl", "restart", UNIT)
    yield machine.host
    assert "Traceback" not in machine.run("journalctl", "--unit", UNIT).stdout


def state(machine: Machine) -> dict[str, str]:
    """Return properties of the unit."""
    return machine.show(UNIT, "ActiveState", "StatusText", "MainPID", "NRestarts", "Result")


def test_service_is_active_after_running_containers_are_mapped(
    lab: Lab, machine: Machine, host: Host
) -> None:
    """`systemctl start` returns then. The status text has the counts, and the labelled port is open."""
    options = ("--name", "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
    host.engine.docker("run", "-d", *options, IMAGE, *WEB_SERVER)
    machine.run("systemctl", "restart", UNIT)
    shown = state(machine)
    assert shown["ActiveState"] == "active"
    assert shown["StatusText"] == "1 mapped, 0 pending, 0 refused; 1 proxy entries"
    address = wait_until_mapped(host)
    assert reaches(lab.client, address)
    eventually(lambda: lab.client.http_get(f"http://[{address}]/"), within=5)


def test_service_has_low_exposure_and_two_capabilities(machine: Machine) -> None:
    """By `systemd-analyze security`, and by /proc: not root, CAP_NET_ADMIN and CAP_NET_RAW."""
    rating = json.loads(machine.run("systemd-analyze", "security", "--json=short", UNIT).stdout)
    assert rating
    summary = machine.run("systemd-analyze", "security", UNIT).stdout.rpartition(": ")[2]
    assert float(summary.split()[0]) <= MAX_EXPOSURE
    process = machine.run("cat", f"/proc/{state(machine)['MainPID']}/status").stdout
    fields = dict(line.split(":\t", 1) for line in process.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapEff"], 16) == 1 << 12 | 1 << 13
    assert fields["NoNewPrivs"] == "1"


def test_killed_service_is_restarted_and_restores_proxy_entries(machine: Machine, host: Host) -> None:
    """Including an entry deleted meanwhile."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    machine.run("systemctl", "kill", "--signal=KILL", UNIT)
    host.namespace.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", "up0")
    eventually(lambda: state(machine)["NRestarts"] == "1")
    assert wait_until_mapped(host) == address


def test_hanging_service_is_restarted_by_the_watchdog(machine: Machine, host: Host) -> None:
    """Watchdog notifications come from the main loop; a stopped process (SIGSTOP) sends none."""
    machine.write(f"/run/systemd/system/{UNIT}.service.d/watchdog.conf", SHORT_WATCHDOG)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    machine.run("systemctl", "kill", "--signal=STOP", UNIT)
    run_labelled(host, "mon_container")
    eventually(lambda: state(machine)["NRestarts"] == "1", within=15)
    wait_until_mapped(host)
    assert "Watchdog timeout" in machine.run("journalctl", "--unit", UNIT).stdout
    machine.run("rm", f"/run/systemd/system/{UNIT}.service.d/watchdog.conf")
    machine.run("systemctl", "daemon-reload")


def test_containers_stay_reachable_while_the_service_is_stopped_and_upgraded(
    lab: Lab, machine: Machine, host: Host
) -> None:
    """The upgrade is the documented one."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    machine.run("systemctl", "stop", UNIT)
    assert state(machine)["Result"] == "success"
    assert wait_until_mapped(host) == address
    assert reaches(lab.client, address)
    machine.shell(documented_commands.script("Upgrade", str(machine.checkout), OPERATIONS))
    assert state(machine)["ActiveState"] == "active"
    assert wait_until_mapped(host) == address


def test_service_survives_an_engine_restart(machine: Machine, host: Host) -> None:
    """The unit is ordered after docker.service, and is not stopped with it."""
    machine.run("systemd-run", "--unit=docker.service", "sleep", "infinity")
    process = state(machine)["MainPID"]
    machine.run("systemctl", "stop", "docker.service")
    host.engine.stop()
    eventually(lambda: state(machine)["StatusText"].startswith("the engine is unreachable"))
    host.engine.start()
    machine.grant_engine_access()
    run_labelled(host, "mon_container")
    eventually(lambda: wait_until_mapped(host), within=15)
    assert state(machine)["MainPID"] == process


def test_service_starts_while_the_engine_is_down(machine: Machine, host: Host) -> None:
    """The boot is not delayed, systemd does not restart it, and it maps when the engine is up."""
    machine.run("systemctl", "stop", UNIT)
    host.engine.stop()
    machine.run("systemctl", "start", UNIT)
    shown = state(machine)
    assert shown["ActiveState"] == "active"
    assert shown["StatusText"].startswith("the engine is unreachable; ")
    assert shown["NRestarts"] == "0"
    host.engine.start()
    machine.grant_engine_access()
    run_labelled(host, "mon_container")
    eventually(lambda: wait_until_mapped(host), within=15)
    assert state(machine)["MainPID"] == shown["MainPID"]
    assert state(machine)["NRestarts"] == "0"


def test_service_starts_while_the_engines_socket_does_not_answer(machine: Machine, host: Host) -> None:
    """As with socket activation: the socket exists before the engine runs."""
    machine.run("systemctl", "stop", UNIT)
    host.engine.stop()
    machine.write(OPTIONS, ENGINE.replace("docker.sock", "silent.sock"))
    silent = host.engine.workdir / "silent.sock"
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(silent))
            listener.listen()
            silent.chmod(0o666)
            machine.run("systemctl", "start", UNIT)
            assert state(machine)["ActiveState"] == "active"
            assert state(machine)["NRestarts"] == "0"
    finally:
        silent.unlink(missing_ok=True)
        machine.write(OPTIONS, ENGINE)
        host.engine.start()
        machine.grant_engine_access()


def test_journal_entries_have_the_right_priority(machine: Machine, host: Host) -> None:
    """For `journalctl -p warning`. A newline and priority prefix in a label do not create an entry."""
    run_labelled(host, "mon_container")
    host.engine.docker(
        "run", "-d", "--label", "ipv6.mapper.network=a\n<0>b", "--name", "stray", "busybox:lab"
    )
    wait_until_mapped(host)

    def journal(priority: str) -> list[str]:
        shown = machine.run(
            "journalctl", "--unit", UNIT, "--output=json", f"--priority={priority}..{priority}"
        )
        return [json.loads(line)["MESSAGE"] for line in shown.stdout.splitlines()]

    eventually(lambda: any("done: connect container mon_container" in line for line in journal("info")))
    eventually(lambda: any("container stray is not mapped" in line for line in journal("warning")))
    assert not journal("emerg")


@pytest.mark.usefixtures("host")
def test_invalid_option_fails_the_service_without_restart(machine: Machine) -> None:
    """A retry would not help. The error is in the journal."""
    machine.write(OPTIONS, f"{ENGINE}DOCKERIPV6MAPPER_PROXY=some\n")
    machine.run("systemctl", "restart", UNIT, check=False)
    eventually(lambda: state(machine)["ActiveState"] == "failed", within=5)
    assert state(machine)["NRestarts"] == "0"
    assert "Invalid value for '--proxy'" in machine.run("journalctl", "--unit", UNIT, "-n", "20").stdout
    machine.write(OPTIONS, ENGINE)


def test_documented_removal_leaves_no_files_or_entries(machine: Machine, host: Host) -> None:
    """Must be the last test of the module: it removes the service."""
    run_labelled(host, "mon_container", "--label", "ipv6.mapper.ports=80")
    wait_until_mapped(host)
    machine.shell(documented_commands.script("Remove", str(machine.checkout), OPERATIONS))
    assert not host.proxy_entries()
    files = machine.run("find", "/etc", "/usr/local", "/opt", "/run", "-iname", "*dockeripv6mapper*").stdout
    assert not [line for line in files.splitlines() if "/run/systemd/" not in line]
