"""`cleanup` removes everything that carries the mapper's mark, and nothing else; goes on after failures."""

import os
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from dockeripv6mapper.actions import Reconnect
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.journal import Journal
from tests.lab.containers import LABEL, MAPPER_PROTOCOL, SUFFIX, endpoints_of, run, wait_until_mapped
from tests.lab.firewall_modes import ENGINE_28_ROUTED, MODES, host_in_mode
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import NOBODY, Mapper, run_command, setpriv
from tests.lab.topology import Lab
from tests.unit.engine.wire import HANG, Wire

LEGACY = next(mode for mode in MODES if mode.legacy)
NOTHING_LEFT = "nothing to remove: nothing carries the mapper's mark\n"


@pytest.fixture(params=[LEGACY, ENGINE_28_ROUTED], ids=lambda mode: mode.name)
def either_backend(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with each backend of iptables."""
    with host_in_mode(lab, request.param) as host:
        yield host


def leave_by_killed_daemon(host: Host, *options: str) -> IPv6Address:
    """Map a container with an open port, kill the daemon, and return the container's address."""
    with Mapper(host, *options) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run(host, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(host)
        mapper.wait_for_log(f"opened 80/tcp of {address}")
        mapper.kill()
    return address


def leftovers(host: Host) -> list[str]:
    """Return the mapper's proxy entries, rules, nft tables and state files on the host."""
    saved = (host.namespace.run(command).stdout for command in ("ip6tables-save", "ip6tables-legacy-save"))
    rules = [line for rules in saved for line in rules.splitlines() if "DockerIPV6Mapper" in line]
    tables = [
        line for line in host.namespace.run("nft", "list", "tables").stdout.splitlines() if "mapper" in line
    ]
    files = [str(path) for path in host.state_dir.rglob("*")] if host.state_dir.exists() else []
    return [*map(str, host.proxy_entries(MAPPER_PROTOCOL)), *rules, *tables, *files]


def assert_removes_everything(host: Host) -> None:
    """Assert that `cleanup` leaves nothing, and that a second one has nothing to do."""
    done = run_command(host, "cleanup")
    assert (done.returncode, done.stderr) == (0, "")
    assert leftovers(host) == []
    again = run_command(host, "cleanup")
    assert (again.returncode, again.stdout, again.stderr) == (0, NOTHING_LEFT, "")


def test_cleanup_removes_all_marked_objects_and_no_foreign_ones(lab: Lab, either_backend: Host) -> None:
    """Also an entry on a former uplink, rules with another fwmark, a duplicate rule; one output line each."""
    host = either_backend
    address = leave_by_killed_daemon(host, "--fwmark", "0x00000100")
    foreign = host.subnet[0xF0]
    host.add_proxy_entry(foreign)
    host.namespace.add_veth("up1", lab.router.namespace, "second", "link0")
    host.namespace.run(
        "ip", "-6", "neigh", "add", "proxy", str(address), "dev", "up1", "protocol", MAPPER_PROTOCOL
    )
    (backend,) = {line.split()[1] for line in accept_rules(host)}
    rule = ("-m", "mark", "--mark", "0x2/0x2", "-j", "ACCEPT")
    host.namespace.run(backend, "-I", "FORWARD", "-m", "comment", "--comment", "DockerIPV6Mapper", *rule)
    host.namespace.run(backend, "-I", "FORWARD", *rule)
    (host.state_dir / "mine").touch()
    try:
        dry_run = run_command(host, "--dry-run", "cleanup").stdout
        done = run_command(host, "cleanup")
        assert (done.returncode, done.stderr) == (0, "")
        assert dry_run == done.stdout.replace("removed ", "would remove ")
        lines = done.stdout.splitlines()
        assert lines[:2] == [f"removed proxy entry {address} on {link}" for link in (UPLINK, "up1")]
        assert sum(line.startswith(f"removed rule in {backend} ") for line in lines) == 3
        assert f"removed file {host.state_dir}/lock" in lines
        assert leftovers(host) == [f"{host.state_dir}/mine"]
        assert host.proxy_entries() == {(foreign, UPLINK)}
        assert "0x2/0x2" in host.namespace.run(f"{backend}-save").stdout
        assert run_command(host, "cleanup").stdout == NOTHING_LEFT
    finally:
        host.namespace.run("ip", "link", "del", "up1")


def accept_rules(host: Host) -> list[str]:
    """Return the rules that a dry run names, as `rule ip6tables-nft -t raw PREROUTING`."""
    lines = run_command(host, "--dry-run", "cleanup").stdout.splitlines()
    return [line.replace("would remove rule in", "rule") for line in lines if "rule in" in line]


def test_a_failing_ip6tables_does_not_stop_the_cleanup(host: Host, tmp_path: Path) -> None:
    """The error names what is left, with a command to remove it. The next cleanup does. nft is not needed."""
    leave_by_killed_daemon(host)
    for command in ("nft", "ip6tables-nft", "ip6tables-legacy"):
        (tmp_path / command).symlink_to("/bin/false")
    done = run_command(host, "cleanup", wrapper=("env", f"PATH={tmp_path}:{os.environ['PATH']}"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: removing rule in ip6tables-") == 2
    assert done.stderr.count("error: ") == done.stderr.count("try: ip6tables-") == 2
    assert len(leftovers(host)) == 2
    assert_removes_everything(host)


def test_each_permission_error_is_reported(host: Host) -> None:
    """For an unprivileged user, who may remove only the files."""
    address = leave_by_killed_daemon(host)
    for path in (host.state_dir, *host.state_dir.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    done = run_command(host, "cleanup", wrapper=setpriv("net_raw"))
    assert done.returncode == 1
    assert f"error: removing NDP proxy entry {address} on {UPLINK}: Operation not permitted" in done.stderr
    assert "try: run as root" in done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("try: ") >= 3
    files = ("directory", "reconnects"), ("file", "lock")
    assert done.stdout == "".join(f"removed {kind} {host.state_dir}/{name}\n" for kind, name in files)
    assert_removes_everything(host)


def test_file_that_cannot_be_removed_is_reported(host: Host) -> None:
    """On a file system that is mounted read-only."""
    leave_by_killed_daemon(host)
    directory = str(host.state_dir)
    script = f'mount --bind {directory} {directory} && mount -o remount,bind,ro {directory} && exec "$@"'
    done = run_command(host, "cleanup", wrapper=("unshare", "--mount", "sh", "-c", script, "sh"))
    assert done.returncode == 1
    assert f"error: removing file {directory}/lock: Read-only file system\n  try: rm " in done.stderr
    assert f"error: removing directory {directory}/reconnects: Read-only" in done.stderr
    assert sorted(leftovers(host)) == [f"{directory}/lock", f"{directory}/reconnects"]
    assert_removes_everything(host)


def test_cleanup_is_refused_while_a_daemon_runs(host: Host) -> None:
    """The daemon would restore everything. A dry run is allowed."""
    with Mapper(host) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run(host, "mon_container", *LABEL)
        address = wait_until_mapped(host)
        done = run_command(host, "cleanup")
        assert done.returncode == 1
        assert f"a daemon runs as process {mapper.pid}, and would put back what is removed" in done.stderr
        assert "try: systemctl stop" in done.stderr
        assert f"would remove proxy entry {address}" in run_command(host, "--dry-run", "cleanup").stdout
        assert host.proxy_entries(MAPPER_PROTOCOL) == {(address, UPLINK)}


def test_cleanup_is_refused_by_the_pid_file_of_a_daemon_with_another_state_directory(host: Host) -> None:
    """The daemon is recognised by its pid file."""
    pidfile = ("--pidfile", str(host.workdir / "mapper.pid"))
    files = (*pidfile, "--logfile", str(host.workdir / "mapper.log"))
    assert run_command(host, *files, "-d", "start").returncode == 0
    try:
        other = ("--state-dir", str(host.workdir / "other"))
        done = run_command(host, *other, *pidfile, "cleanup")
        assert done.returncode == 1
        assert "a daemon runs as process" in done.stderr
    finally:
        assert run_command(host, *files, "-d", "stop").returncode == 0


def test_stale_pid_file_is_removed(host: Host) -> None:
    """Only the pid file: no log file is removed."""
    pidfile = host.workdir / "mapper.pid"
    pidfile.write_text("1\n")
    done = run_command(host, "--pidfile", str(pidfile), "cleanup")
    assert (done.returncode, done.stdout) == (0, f"removed file {pidfile}\n")
    assert not pidfile.exists()


class KilledBeforeConnect(Client):
    """A client whose process is killed before it connects a container."""

    def connect(self, *_: object, **__: object) -> None:
        """Raise KeyboardInterrupt: the program does not catch it, as with a kill."""
        raise KeyboardInterrupt


def detach(host: Host) -> str:
    """Run a container and disconnect it as a daemon killed in a move; return the container's ID."""
    container_id = run(host, "mon_container", *LABEL, "--network", "he_ipv6", "--network-alias", "al1")
    network_id = host.engine.docker("network", "inspect", "-f", "{{.Id}}", "he_ipv6")
    address = host.subnet[SUFFIX]
    move = Reconnect(container_id, "mon_container", network_id, "he_ipv6", address)
    journal = Journal(host.state_dir)
    journal.prepare()
    with pytest.raises(KeyboardInterrupt):
        Endpoints(KilledBeforeConnect(host.engine.url), journal).apply(move)
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    return container_id


def test_cleanup_reconnects_a_container_left_detached_by_a_killed_daemon(host: Host) -> None:
    """While the engine is down, the journal file is kept, and an error says so."""
    container_id = detach(host)
    host.engine.restart(live_restore=True)
    host.engine.kill()
    journal = Journal(host.state_dir)
    done = run_command(host, "cleanup")
    assert done.returncode == 1
    assert f"finishing the interrupted change of container {container_id[:12]}: " in done.stderr
    assert f"keeping {journal.directory}" in done.stderr
    assert "try: systemctl start docker && DockerIPV6Mapper.py cleanup" in done.stderr
    assert journal.has(container_id)
    host.engine.start()
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    done = run_command(host, "cleanup")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"done: finish the interrupted change of container {container_id[:12]}\n" in done.stdout
    assert "al1" in str(endpoints_of(host, "mon_container")["he_ipv6"]["Aliases"])
    assert_removes_everything(host)


def test_unresponsive_engine_is_a_timeout_and_the_journal_is_kept(host: Host, tmp_path: Path) -> None:
    """The remedy in the error is to run `cleanup` again. The timeout is half a minute."""
    container_id = detach(host)
    with Wire(tmp_path / "docker.sock") as wire:
        wire.spoils["_ping"] = HANG
        done = run_command(host, "--docker-host", wire.url, "cleanup", timeout=60)
    assert done.returncode == 1
    assert f"finishing the interrupted change of container {container_id[:12]}: " in done.stderr
    assert done.stderr.endswith("\n  try: DockerIPV6Mapper.py cleanup\n")
    assert_removes_everything(host)


def test_journal_files_of_removed_containers_and_drafts_are_removed(host: Host) -> None:
    """There is no container to reconnect."""
    container_id = detach(host)
    host.engine.docker("rm", "-f", "mon_container")
    (host.state_dir / "reconnects" / f"{container_id}.json.draft").write_text("{")
    assert_removes_everything(host)


def test_unreadable_journal_file_is_kept(host: Host) -> None:
    """It is renamed to `.unreadable` for the user to check; everything else is removed."""
    container_id = detach(host)
    note = host.state_dir / "reconnects" / f"{container_id}.json"
    note.unlink()
    note.symlink_to("{")
    (host.state_dir / "lock").touch()
    done = run_command(host, "cleanup")
    assert done.returncode == 1
    aside = note.with_suffix(".json.unreadable")
    assert f"try: docker inspect {container_id[:12]}; rm {aside}" in done.stderr
    assert aside.is_symlink()
    aside.unlink()
    assert_removes_everything(host)
