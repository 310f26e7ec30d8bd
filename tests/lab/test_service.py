"""The service: installed as the README says, under a real systemd, which watches over it."""

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
OPTIONS = "/etc/default/DockerIPV6Mapper"
ENGINE = f"DOCKERIPV6MAPPER_DOCKER_HOST=unix://{SHARED}/engine/docker.sock\n"
IMPATIENT = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n"
"""The watchdog of the unit, only sooner."""
MOST_EXPOSURE = 2.0
"""Of `systemd-analyze security`, whose scale ends at 10."""


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[Machine]:
    """A machine on the modern engine's host, on which the program is installed and enabled."""
    host = lab.host(Flavour.MODERN)
    host.reset()
    host.create_network()
    with Machine(host) as machine:
        machine.write(OPTIONS, ENGINE)
        machine.shell(documented_commands.script("In a venv, with a systemd unit", str(machine.checkout)))
        yield machine
    host.reset()


@pytest.fixture
def host(machine: Machine) -> Iterator[Host]:
    """The machine's host, on which the service runs and has nothing to do."""
    running = machine.host.engine.docker("ps", "--all", "--quiet").split()
    if running:
        machine.host.engine.docker("rm", "--force", *running)
    machine.run("systemctl", "restart", UNIT)
    yield machine.host
    assert "Traceback" not in machine.run("journalctl", "--unit", UNIT).stdout


def state(machine: Machine) -> dict[str, str]:
    """How the service is."""
    return machine.show(UNIT, "ActiveState", "StatusText", "MainPID", "NRestarts", "Result")


def test_it_is_active_when_what_ran_before_is_mapped(lab: Lab, machine: Machine, host: Host) -> None:
    """`systemctl start` returns then; the status line has the counts; an opened port is open."""
    options = ("--name", "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
    host.engine.docker("run", "-d", *options, IMAGE, *WEB_SERVER)
    machine.run("systemctl", "restart", UNIT)
    shown = state(machine)
    assert shown["ActiveState"] == "active"
    assert shown["StatusText"] == "1 mapped, 0 pending, 0 refused; 1 proxy entries"
    address = wait_until_mapped(host)
    assert reaches(lab.router, address)
    eventually(lambda: lab.router.http_get(f"http://[{address}]/"), within=5)


def test_it_is_exposed_no_more_than_it_must_be(machine: Machine) -> None:
    """As systemd rates it, and as the kernel sees it: no root, and two capabilities."""
    rating = json.loads(machine.run("systemd-analyze", "security", "--json=short", UNIT).stdout)
    assert rating
    said = machine.run("systemd-analyze", "security", UNIT).stdout.rpartition(": ")[2]
    assert float(said.split()[0]) <= MOST_EXPOSURE
    process = machine.run("cat", f"/proc/{state(machine)['MainPID']}/status").stdout
    fields = dict(line.split(":\t", 1) for line in process.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapEff"], 16) == 1 << 12 | 1 << 13
    assert fields["NoNewPrivs"] == "1"


def test_killed_it_is_started_again_and_all_is_right(machine: Machine, host: Host) -> None:
    """Also what changed in between."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    machine.run("systemctl", "kill", "--signal=KILL", UNIT)
    host.namespace.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", "up0")
    eventually(lambda: state(machine)["NRestarts"] == "1")
    assert wait_until_mapped(host) == address


def test_a_hang_is_noticed_and_ended(machine: Machine, host: Host) -> None:
    """The signs of life come from the loop: a process that is there and does nothing gives none."""
    machine.write(f"/run/systemd/system/{UNIT}.service.d/impatient.conf", IMPATIENT)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    machine.run("systemctl", "kill", "--signal=STOP", UNIT)
    run_labelled(host, "mon_container")
    eventually(lambda: state(machine)["NRestarts"] == "1", within=15)
    wait_until_mapped(host)
    assert "Watchdog timeout" in machine.run("journalctl", "--unit", UNIT).stdout
    machine.run("rm", f"/run/systemd/system/{UNIT}.service.d/impatient.conf")
    machine.run("systemctl", "daemon-reload")


def test_stopped_it_leaves_everything_in_place(lab: Lab, machine: Machine, host: Host) -> None:
    """Containers stay reachable while it is upgraded, as the README says to."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    machine.run("systemctl", "stop", UNIT)
    assert state(machine)["Result"] == "success"
    assert wait_until_mapped(host) == address
    assert reaches(lab.router, address)
    machine.shell(documented_commands.script("Upgrade", str(machine.checkout)))
    assert state(machine)["ActiveState"] == "active"
    assert wait_until_mapped(host) == address


def test_the_engine_may_go_and_come(machine: Machine, host: Host) -> None:
    """It is ordered after the engine's unit, and does not end with it."""
    machine.run("systemd-run", "--unit=docker.service", "sleep", "infinity")
    process = state(machine)["MainPID"]
    machine.run("systemctl", "stop", "docker.service")
    host.engine.stop()
    eventually(lambda: state(machine)["StatusText"].startswith("the engine is away"))
    host.engine.start()
    machine.grant_engine_access()
    run_labelled(host, "mon_container")
    eventually(lambda: wait_until_mapped(host), within=15)
    assert state(machine)["MainPID"] == process


def test_it_starts_while_the_engine_is_away(machine: Machine, host: Host) -> None:
    """So the boot goes on, and nothing kills and starts it meanwhile; it maps when the engine is back."""
    machine.run("systemctl", "stop", UNIT)
    host.engine.stop()
    machine.run("systemctl", "start", UNIT)
    shown = state(machine)
    assert shown["ActiveState"] == "active"
    assert shown["StatusText"].startswith("the engine is away; ")
    assert shown["NRestarts"] == "0"
    host.engine.start()
    machine.grant_engine_access()
    run_labelled(host, "mon_container")
    eventually(lambda: wait_until_mapped(host), within=15)
    assert state(machine)["MainPID"] == shown["MainPID"]
    assert state(machine)["NRestarts"] == "0"


def test_it_starts_while_the_engine_takes_calls_and_answers_none(machine: Machine, host: Host) -> None:
    """A socket that a service manager listens on is there before its engine is."""
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


def test_the_journal_has_each_line_with_its_priority(machine: Machine, host: Host) -> None:
    """So `journalctl -p warning` shows what is wrong; nothing that a label says makes a line of its own."""
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
def test_a_misspelt_option_is_not_tried_again(machine: Machine) -> None:
    """It does not mend itself; the journal has the sentence."""
    machine.write(OPTIONS, f"{ENGINE}DOCKERIPV6MAPPER_PROXY=some\n")
    machine.run("systemctl", "restart", UNIT, check=False)
    eventually(lambda: state(machine)["ActiveState"] == "failed", within=5)
    assert state(machine)["NRestarts"] == "0"
    assert "Invalid value for '--proxy'" in machine.run("journalctl", "--unit", UNIT, "-n", "20").stdout
    machine.write(OPTIONS, ENGINE)


def test_removed_it_leaves_nothing_of_its_own(machine: Machine, host: Host) -> None:
    """As the README says; the last test, which removes it."""
    run_labelled(host, "mon_container", "--label", "ipv6.mapper.ports=80")
    wait_until_mapped(host)
    machine.shell(documented_commands.script("Remove", str(machine.checkout)))
    assert not host.proxy_entries()
    left = machine.run("find", "/etc", "/usr/local", "/opt", "/run", "-iname", "*dockeripv6mapper*").stdout
    assert not [line for line in left.splitlines() if "/run/systemd/" not in line]
