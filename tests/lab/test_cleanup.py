"""Cleanup: all that is ours goes, also where half of it fails, and nothing else does."""

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
from tests.lab.firewall_modes import ENGINE_20_10, ENGINE_28_ROUTED, MODES, host_in_mode
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import NOBODY, Mapper, run_command, setpriv
from tests.lab.topology import Lab
from tests.unit.engine.wire import HANG, Wire

TABLE = ("table", "ip6", "dockeripv6mapper")
LEGACY = next(mode for mode in MODES if mode.legacy)
one_engine = pytest.mark.parametrize("host", [ENGINE_28_ROUTED], indirect=True, ids=["28-routed"])
"""Where neither engine nor iptables makes a difference."""
NOTHING_LEFT = "nothing to remove: nothing carries the mapper's mark\n"


@pytest.fixture(params=[ENGINE_20_10, LEGACY, ENGINE_28_ROUTED], ids=lambda mode: mode.name)
def host(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of each engine, in the mode that the README recommends, and one with the older iptables."""
    with host_in_mode(lab, request.param) as host:
        yield host


def leave_everything(host: Host, *options: str) -> IPv6Address:
    """All that a daemon leaves that is killed; returns the address of a container with an open port."""
    with Mapper(host, *options) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run(host, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(host)
        mapper.wait_for_log(f"opened 80/tcp of {address}")
        mapper.kill()
    return address


def left(host: Host) -> list[str]:
    """What there is of ours."""
    saved = (host.namespace.run(command).stdout for command in ("ip6tables-save", "ip6tables-legacy-save"))
    rules = [line for rules in saved for line in rules.splitlines() if "DockerIPV6Mapper" in line]
    tables = [
        line for line in host.namespace.run("nft", "list", "tables").stdout.splitlines() if "mapper" in line
    ]
    files = [str(path) for path in host.state_dir.rglob("*")] if host.state_dir.exists() else []
    return [*map(str, host.proxy_entries(MAPPER_PROTOCOL)), *rules, *tables, *files]


def assert_all_goes(host: Host) -> None:
    """A cleanup removes all, and the next has nothing to do."""
    done = run_command(host, "cleanup")
    assert (done.returncode, done.stderr) == (0, "")
    assert left(host) == []
    again = run_command(host, "cleanup")
    assert (again.returncode, again.stdout, again.stderr) == (0, NOTHING_LEFT, "")


def test_all_that_is_ours_goes_wherever_it_is_and_nothing_else(lab: Lab, host: Host) -> None:
    """On a link that is no uplink any more, of another mark, twice in a chain; said line by line."""
    address = leave_everything(host, "--fwmark", "0x00000100")
    theirs = host.subnet[0xF0]
    host.add_proxy_entry(theirs)
    host.namespace.add_veth("up1", lab.router.namespace, "second", "link0")
    host.namespace.run(
        "ip", "-6", "neigh", "add", "proxy", str(address), "dev", "up1", "protocol", MAPPER_PROTOCOL
    )
    (backend,) = {line.split()[1] for line in hooks(host)}
    rule = ("-m", "mark", "--mark", "0x2/0x2", "-j", "ACCEPT")
    host.namespace.run(backend, "-I", "FORWARD", "-m", "comment", "--comment", "DockerIPV6Mapper", *rule)
    host.namespace.run(backend, "-I", "FORWARD", *rule)
    (host.state_dir / "mine").touch()
    try:
        planned = run_command(host, "--dry-run", "cleanup").stdout
        done = run_command(host, "cleanup")
        assert (done.returncode, done.stderr) == (0, "")
        assert planned == done.stdout.replace("removed ", "would remove ")
        said = done.stdout.splitlines()
        assert said[:2] == [f"removed proxy entry {address} on {link}" for link in (UPLINK, "up1")]
        assert sum(line.startswith(f"removed rule in {backend} ") for line in said) == 3
        assert f"removed file {host.state_dir}/lock" in said
        assert left(host) == [f"{host.state_dir}/mine"]
        assert host.proxy_entries() == {(theirs, UPLINK)}
        assert "0x2/0x2" in host.namespace.run(f"{backend}-save").stdout
        assert run_command(host, "cleanup").stdout == NOTHING_LEFT
    finally:
        host.namespace.run("ip", "link", "del", "up1")


def hooks(host: Host) -> list[str]:
    """The lines by which a dry run names rules: `rule ip6tables-nft -t raw PREROUTING`."""
    lines = run_command(host, "--dry-run", "cleanup").stdout.splitlines()
    return [line.replace("would remove rule in", "rule") for line in lines if "rule in" in line]


@pytest.mark.parametrize("broken", ["nft", "ip6tables"])
def test_a_command_that_fails_keeps_nothing_else_from_going(host: Host, tmp_path: Path, broken: str) -> None:
    """What could not be removed is named, with what to type; the next cleanup removes it."""
    leave_everything(host)
    commands = {"nft": ["nft"], "ip6tables": ["ip6tables-nft", "ip6tables-legacy"]}[broken]
    for command in commands:
        (tmp_path / command).symlink_to("/bin/false")
    done = run_command(host, "cleanup", wrapper=("env", f"PATH={tmp_path}:{os.environ['PATH']}"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    if broken == "nft":
        assert done.stderr.count("error: ") == 1
        assert "try: nft delete table ip6 dockeripv6mapper" in done.stderr
        assert [" ".join(TABLE)] == left(host)
    else:
        assert done.stderr.count("error: removing rule in ip6tables-") == 2
        assert done.stderr.count("try: ip6tables-") == 2
        assert len(left(host)) == 2
    assert_all_goes(host)


@one_engine
def test_what_the_kernel_refuses_is_named_each(host: Host) -> None:
    """As to an ordinary user, who may remove the files alone."""
    address = leave_everything(host)
    for path in (host.state_dir, *host.state_dir.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    done = run_command(host, "cleanup", wrapper=setpriv("net_raw"))
    assert done.returncode == 1
    assert f"error: removing NDP proxy entry {address} on {UPLINK}: Operation not permitted" in done.stderr
    assert "try: run as root" in done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("try: ") >= 3
    files = ("directory", "reconnects"), ("file", "lock")
    assert done.stdout == "".join(f"removed {kind} {host.state_dir}/{name}\n" for kind, name in files)
    assert_all_goes(host)


@one_engine
def test_a_file_that_cannot_be_removed_is_named(host: Host) -> None:
    """As on a file system that was remounted after an error."""
    leave_everything(host)
    directory = str(host.state_dir)
    script = f'mount --bind {directory} {directory} && mount -o remount,bind,ro {directory} && exec "$@"'
    done = run_command(host, "cleanup", wrapper=("unshare", "--mount", "sh", "-c", script, "sh"))
    assert done.returncode == 1
    assert f"error: removing file {directory}/lock: Read-only file system\n  try: rm " in done.stderr
    assert f"error: removing directory {directory}/reconnects: Read-only" in done.stderr
    assert sorted(left(host)) == [f"{directory}/lock", f"{directory}/reconnects"]
    assert_all_goes(host)


@one_engine
def test_it_refuses_while_a_daemon_runs(host: Host) -> None:
    """Which would put everything back."""
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


@one_engine
def test_it_refuses_while_a_daemon_runs_in_the_background_with_other_files(host: Host) -> None:
    """The pid file tells."""
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


@one_engine
def test_the_pid_file_of_a_daemon_that_was_killed_goes(host: Host) -> None:
    """And nothing of a log."""
    pidfile = host.workdir / "mapper.pid"
    pidfile.write_text("1\n")
    done = run_command(host, "--pidfile", str(pidfile), "cleanup")
    assert (done.returncode, done.stdout) == (0, f"removed file {pidfile}\n")
    assert not pidfile.exists()


class Dying(Client):
    """A process that is killed when it was about to attach a container."""

    def connect(self, *_: object, **__: object) -> None:
        """Die. Not an `Exception`: nothing in the program sees it."""
        raise KeyboardInterrupt


def detach(host: Host) -> str:
    """A container that a daemon took off its network before it was killed; returns its ID."""
    container_id = run(host, "mon_container", *LABEL, "--network", "he_ipv6", "--network-alias", "al1")
    network_id = host.engine.docker("network", "inspect", "-f", "{{.Id}}", "he_ipv6")
    address = host.subnet[SUFFIX]
    move = Reconnect(container_id, "mon_container", network_id, "he_ipv6", address)
    journal = Journal(host.state_dir)
    journal.prepare()
    with pytest.raises(KeyboardInterrupt):
        Endpoints(Dying(host.engine.url), journal).apply(move)
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    return container_id


@one_engine
def test_a_container_that_is_detached_because_of_us_is_put_back_first(host: Host) -> None:
    """Its note is all that is known of it: while the engine is away it is kept, and that is said."""
    container_id = detach(host)
    host.engine.restart(live_restore=True)
    host.engine.kill()
    journal = Journal(host.state_dir)
    done = run_command(host, "cleanup")
    assert done.returncode == 1
    assert f"finishing what was begun on container {container_id[:12]}: " in done.stderr
    assert f"{journal.directory} is kept for that" in done.stderr
    assert "try: systemctl start docker && DockerIPV6Mapper.py cleanup" in done.stderr
    assert journal.has(container_id)
    host.engine.start()
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    done = run_command(host, "cleanup")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"done: finish what was begun on container {container_id[:12]}\n" in done.stdout
    assert "al1" in str(endpoints_of(host, "mon_container")["he_ipv6"]["Aliases"])
    assert_all_goes(host)


@one_engine
def test_an_engine_that_does_not_answer_is_waited_for_half_a_minute(host: Host, tmp_path: Path) -> None:
    """Nothing is known that would mend it: what is to be typed is the cleanup, again."""
    container_id = detach(host)
    with Wire(tmp_path / "docker.sock") as wire:
        wire.spoils["_ping"] = HANG
        done = run_command(host, "--docker-host", wire.url, "cleanup", timeout=60)
    assert done.returncode == 1
    assert f"finishing what was begun on container {container_id[:12]}: " in done.stderr
    assert done.stderr.endswith("\n  try: DockerIPV6Mapper.py cleanup\n")
    assert_all_goes(host)


@one_engine
def test_notes_of_containers_that_are_gone_and_drafts_go(host: Host) -> None:
    """There is nothing to put back."""
    container_id = detach(host)
    host.engine.docker("rm", "-f", "mon_container")
    (host.state_dir / "reconnects" / f"{container_id}.json.draft").write_text("{")
    assert_all_goes(host)


@one_engine
def test_a_note_that_cannot_be_read_is_kept(host: Host) -> None:
    """Somebody has to look at it; what else there is goes."""
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
    assert_all_goes(host)
