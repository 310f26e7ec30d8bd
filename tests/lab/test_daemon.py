"""The daemon's process: required privileges, startup errors, signals, options from the environment."""

import os
import signal
import subprocess

import pytest

from tests.lab.containers import SUFFIX, addresses_inside, reaches, run_labelled, wait_until_mapped
from tests.lab.hosts import Host
from tests.lab.mapper import NOBODY, Mapper, run_command, setpriv
from tests.lab.nodes import Node
from tests.lab.topology import UPLINK, Lab
from tests.lab.waiting import eventually


@pytest.fixture
def client(lab: Lab) -> Node:
    """The lab's client, behind the router."""
    return lab.client


def as_nobody(host: Host, *capabilities: str) -> subprocess.CompletedProcess[str]:
    """Run the daemon as user nobody with these capabilities, until it exits."""
    return run_command(host, wrapper=setpriv(*capabilities))


def test_missing_cap_net_admin_is_an_error_with_remedy(host: Host) -> None:
    """Exit code 1, no traceback."""
    done = as_nobody(host)
    assert done.returncode == 1
    assert "CAP_NET_ADMIN is missing" in done.stderr
    assert "try: run as root" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_permission_on_the_engines_socket_is_an_error_with_remedy(host: Host) -> None:
    """Exit code 1; the remedy names the group docker."""
    host.state_dir.mkdir()
    os.chown(host.state_dir, NOBODY, NOBODY)
    done = as_nobody(host, "net_admin")
    assert done.returncode == 1
    assert "permission denied on the engine's socket" in done.stderr
    assert "usermod -aG docker" in done.stderr
    assert "Traceback" not in done.stderr


def test_unprivileged_user_with_two_capabilities_and_the_socket_suffices(host: Host, client: Node) -> None:
    """CAP_NET_ADMIN and CAP_NET_RAW; root is not needed."""
    host.state_dir.mkdir()
    os.chown(host.state_dir, NOBODY, NOBODY)
    os.chown(host.engine.socket, -1, NOBODY)
    with Mapper(host, wrapper=setpriv("net_admin", "net_raw")) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run_labelled(host, "mon_container")
        assert reaches(client, wait_until_mapped(host))


def test_state_directory_that_cannot_be_created_is_a_startup_error(host: Host) -> None:
    """Not only at the first reconnect, which needs the directory."""
    done = run_command(host, "--state-dir", "/proc/nowhere")
    assert done.returncode == 1
    assert "creating the state directory /proc/nowhere" in done.stderr
    assert "try: --state-dir" in done.stderr


def test_daemon_waits_for_an_engine_that_is_down(host: Host) -> None:
    """It logs this once, not at each retry."""
    host.engine.stop()
    with Mapper(host) as mapper:
        mapper.wait_for_log("repeated: 3 times")
        assert mapper.log().count("retrying, addresses and proxy entries stay") == 1
        host.engine.start()
        run_labelled(host, "mon_container")
        eventually(lambda: wait_until_mapped(host), within=15)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_sigint_stop_the_daemon_with_exit_code_0(host: Host, number: signal.Signals) -> None:
    """Within 5 s, also while the engine is down."""
    with Mapper(host) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        host.engine.stop()
        mapper.wait_for_log("retrying, addresses and proxy entries stay")
        os.kill(mapper.pid, number)
        eventually(lambda: not mapper.running, within=5)
        assert mapper.exit_code == 0
        assert "Traceback" not in mapper.log()


def test_sighup_triggers_a_full_pass(host: Host, mapper: Mapper) -> None:
    """`systemctl reload` sends SIGHUP; a deleted proxy entry is restored."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    host.namespace.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", "up0")
    os.kill(mapper.pid, signal.SIGHUP)
    assert wait_until_mapped(host) == address


def test_options_are_read_from_the_environment(host: Host) -> None:
    """DOCKERIPV6MAPPER_ALLOW_NETWORK and DOCKERIPV6MAPPER_RESYNC."""
    environment = {"DOCKERIPV6MAPPER_ALLOW_NETWORK": "other", "DOCKERIPV6MAPPER_RESYNC": "1"}
    with Mapper(host, environment=environment) as mapper:
        run_labelled(host, "mon_container")
        mapper.wait_for_log("network-not-allowed")
        assert host.subnet[SUFFIX] not in addresses_inside(host, "mon_container")


def test_quiet_logs_nothing_without_errors(host: Host) -> None:
    """With `--quiet`, a container is mapped and the log stays empty."""
    with Mapper(host, level="--quiet") as mapper:
        run_labelled(host, "mon_container")
        wait_until_mapped(host)
        assert mapper.stop() == 0
        assert not mapper.log()


@pytest.mark.parametrize("directory", ["mapper-state", "another-state"])
def test_a_second_daemon_in_a_network_namespace_is_refused(
    host: Host, mapper: Mapper, directory: str
) -> None:
    """Two daemons would remove each other's entries, also with different state directories."""
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
def test_missing_file_permission_is_no_traceback(host: Host, args: tuple[str, ...]) -> None:
    """State directory, its files, pid file and log file belong to root: one error with a remedy."""
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
        # A dry run writes no file, so it needs no permission.
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


def test_invalid_docker_host_is_a_startup_error(host: Host) -> None:
    """A retry would not help."""
    done = run_command(host, "--docker-host", "carrier-pigeon://loft")
    assert done.returncode == 1
    assert "reading the engine's address carrier-pigeon://loft" in done.stderr
