"""The process: what it needs to begin, what it says where it cannot, and what ends it."""

import os
import signal
import subprocess

import pytest

from tests.lab.containers import SUFFIX, addresses_inside, reaches, run_labelled, wait_until_mapped
from tests.lab.hosts import Host
from tests.lab.mapper import NOBODY, Mapper, run_command, setpriv
from tests.lab.router import Router
from tests.lab.topology import UPLINK, Lab
from tests.lab.waiting import eventually


@pytest.fixture
def router(lab: Lab) -> Router:
    """The world outside."""
    return lab.router


def as_nobody(host: Host, *capabilities: str) -> subprocess.CompletedProcess[str]:
    """Run the daemon as an ordinary user with these capabilities, where it is to end by itself."""
    return run_command(host, wrapper=setpriv(*capabilities))


def test_without_the_right_to_change_the_kernels_tables_it_says_what_to_do(host: Host) -> None:
    """Exit code 1, and no traceback."""
    done = as_nobody(host)
    assert done.returncode == 1
    assert "CAP_NET_ADMIN is missing" in done.stderr
    assert "try: run as root" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_right_to_the_engines_socket_it_says_what_to_do(host: Host) -> None:
    """The same, with the group to join."""
    host.state_dir.mkdir()
    os.chown(host.state_dir, NOBODY, NOBODY)
    done = as_nobody(host, "net_admin")
    assert done.returncode == 1
    assert "permission denied on the engine's socket" in done.stderr
    assert "usermod -aG docker" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_ordinary_user_with_two_capabilities_and_the_socket_suffices(host: Host, router: Router) -> None:
    """No root is needed to do the whole job."""
    host.state_dir.mkdir()
    os.chown(host.state_dir, NOBODY, NOBODY)
    os.chown(host.engine.socket, -1, NOBODY)
    with Mapper(host, wrapper=setpriv("net_admin", "net_raw")) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run_labelled(host, "mon_container")
        assert reaches(router, wait_until_mapped(host))


def test_a_state_directory_that_cannot_be_made_is_an_error_at_the_start(host: Host) -> None:
    """Better than at the first reconnect."""
    done = run_command(host, "--state-dir", "/proc/nowhere")
    assert done.returncode == 1
    assert "creating the state directory /proc/nowhere" in done.stderr
    assert "try: --state-dir" in done.stderr


def test_an_engine_that_is_not_there_yet_is_awaited(host: Host) -> None:
    """Said once, however often it is tried."""
    host.engine.stop()
    with Mapper(host) as mapper:
        mapper.wait_for_log("again: 3 times now")
        assert mapper.log().count("keeping everything as it is, and trying again") == 1
        host.engine.start()
        run_labelled(host, "mon_container")
        eventually(lambda: wait_until_mapped(host), within=15)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_in_order_when_it_is_told_to(host: Host, number: signal.Signals) -> None:
    """Exit code 0; also while the engine is away."""
    with Mapper(host) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        host.engine.stop()
        mapper.wait_for_log("keeping everything as it is")
        os.kill(mapper.pid, number)
        eventually(lambda: not mapper.running, within=5)
        assert mapper.exit_code == 0
        assert "Traceback" not in mapper.log()


def test_a_hangup_is_a_reason_to_look_at_everything(host: Host, mapper: Mapper) -> None:
    """As `systemctl reload` sends it."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    host.namespace.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", "up0")
    os.kill(mapper.pid, signal.SIGHUP)
    assert wait_until_mapped(host) == address


def test_the_environment_is_as_good_as_options(host: Host) -> None:
    """Every option has its variable."""
    environment = {"DOCKERIPV6MAPPER_ALLOW_NETWORK": "other", "DOCKERIPV6MAPPER_RESYNC": "1"}
    with Mapper(host, environment=environment) as mapper:
        run_labelled(host, "mon_container")
        mapper.wait_for_log("network-not-allowed")
        assert host.subnet[SUFFIX] not in addresses_inside(host, "mon_container")


def test_quiet_says_nothing_while_all_is_well(host: Host) -> None:
    """The last word on the level is the quietest that was asked for without --debug or --info."""
    with Mapper(host, level="--quiet") as mapper:
        run_labelled(host, "mon_container")
        wait_until_mapped(host)
        assert mapper.stop() == 0
        assert not mapper.log()


@pytest.mark.parametrize("directory", ["mapper-state", "another-state"])
def test_a_second_daemon_in_a_network_namespace_is_refused(
    host: Host, mapper: Mapper, directory: str
) -> None:
    """Two would remove each other's entries at every pass, whatever their state directories."""
    run_labelled(host, "mon_container")
    entries = {(wait_until_mapped(host), UPLINK)}
    done = run_command(host, "--state-dir", str(host.workdir / directory))
    assert done.returncode == 1
    assert f"another mapper runs in this network namespace, as process {mapper.pid}\n" in done.stderr
    assert mapper.running
    assert host.proxy_entries() == entries


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("--dry-run",),
        ("-d", "start"),
        ("-d", "status"),
        ("-d", "stop"),
        ("status",),
        ("plan",),
        ("cleanup",),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_what_is_another_users_is_no_traceback(host: Host, args: tuple[str, ...]) -> None:
    """State directory, its files, pid file and log file: a sentence each, with what to do."""
    os.chown(host.engine.socket, -1, NOBODY)
    files = {"--pidfile": host.workdir / "mapper.pid", "--logfile": host.workdir / "mapper.log"}
    for file in files.values():
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
    host.state_dir.mkdir(mode=0o700)
    (host.state_dir / "lock").touch(mode=0o600)
    (host.state_dir / "reconnects").mkdir(mode=0o700)
    wrapper = setpriv("net_admin", "net_raw")
    options = [text for option, file in files.items() for text in (option, str(file))] if args else []
    if args == ("--dry-run",):
        # It keeps nothing, so nothing stands in its way.
        with Mapper(host, "--dry-run", wrapper=wrapper) as dry:
            dry.wait_for_log("proxying neighbour discovery")
            dry.stop()
            assert "Traceback" not in dry.log()
        return
    done = run_command(host, *options, *args, wrapper=wrapper)
    assert "Traceback" not in done.stdout + done.stderr
    if done.returncode == 1:
        assert "error: " in done.stderr
        assert "try: " in done.stderr
    for file in files.values():
        file.unlink()


def test_an_engines_address_that_is_none_is_an_error_at_the_start(host: Host) -> None:
    """Trying again would not help."""
    done = run_command(host, "--docker-host", "carrier-pigeon://loft")
    assert done.returncode == 1
    assert "reading the engine's address carrier-pigeon://loft" in done.stderr
