"""`status`: the actual state, read from engine and kernel, with or without a daemon."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.lab.containers import SUFFIX, run_labelled, wait_until_mapped
from tests.lab.engine_choice import on_every_engine
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import CHECKOUT, NOBODY, Mapper, command, run_command, setpriv
from tests.lab.waiting import eventually


def status(host: Host) -> tuple[int, dict[str, Any], str]:
    """Run `status --json`; return its exit code, parsed stdout, and stderr."""
    done = run_command(host, "status", "--json")
    return done.returncode, json.loads(done.stdout), done.stderr


@on_every_engine("each lets in other packets")
def test_mapped_container_is_shown_with_its_actual_state(host: Host, mapper: Mapper) -> None:
    """Address, proxy entry, open ports and what gets in; exit code 0. Without root, that is unknown."""
    mapper.wait_for_log("proxying neighbour discovery")
    container_id = run_labelled(host, "mon_container", "--label", "ipv6.mapper.ports=80,53/udp")
    address = str(wait_until_mapped(host))
    mapper.wait_for_log("opened 53/udp")
    lets_in = "ping, 80/tcp, 53/udp" if host.engine.flavour.filters_ipv6 else "everything"
    code, shown, stderr = status(host)
    assert shown["uplinks"] == [{"name": UPLINK, "proxy_ndp": "1", "forwarding": "1", "accept_ra": "2"}]
    assert shown["containers"] == [
        {
            "id": container_id,
            "name": "mon_container",
            "network": "he_ipv6",
            "address": address,
            "actual": address,
            "outgoing": address,
            "state": "mapped",
            "reason": None,
            "detail": None,
            "proxied": [UPLINK],
            "ports": ["80/tcp", "53/udp"],
            "from_outside": lets_in,
        }
    ]
    assert (code, stderr) == (0, "")
    table = run_command(host, "status").stdout
    for part in ("mon_container", address, "mapped", UPLINK, "80/tcp 53/udp", lets_in):
        assert part in table
    os.chown(host.engine.socket, -1, NOBODY)
    done = run_command(host, "status", "--json", wrapper=setpriv())
    (row,) = json.loads(done.stdout)["containers"]
    assert row["from_outside"] == "unknown: the rules cannot be read (CAP_NET_ADMIN is missing)"
    # Not for that: which ports are open cannot be read either, so opening them counts as not done yet.
    assert done.returncode == 3


def test_refusal_is_shown_with_remedy_and_exit_code_3(host: Host, mapper: Mapper) -> None:
    """The remedy is in the table, the reason in the JSON."""
    run_labelled(host, "mon_container", "--label", "ipv6.mapper.suffix=1")
    mapper.wait_for_log("is not mapped")
    code, shown, _ = status(host)
    (row,) = shown["containers"]
    assert (code, row["state"], row["reason"]) == (3, "refused", "gateway")
    assert "try: another ipv6.mapper.suffix" in run_command(host, "status").stdout


def test_status_works_without_a_daemon_and_reports_that_none_runs(host: Host) -> None:
    """A container that is not mapped yet is pending."""
    run_labelled(host, "mon_container")
    code, shown, stderr = status(host)
    (row,) = shown["containers"]
    assert (row["state"], row["address"], row["actual"]) == ("pending", str(host.subnet[SUFFIX]), None)
    assert code == 3
    assert "no daemon runs" in stderr
    with Mapper(host):
        wait_until_mapped(host)
        eventually(lambda: status(host)[0] == 0)
        assert "no daemon" not in status(host)[2]
    assert "no daemon runs" in status(host)[2]


def test_formats_hosts_and_zone_print_one_line_per_container(host: Host, mapper: Mapper) -> None:
    """An invalid host name is left out, with a message on stderr."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    run_labelled(host, "nginx")
    wait_until_mapped(host)
    address = wait_until_mapped(host, "nginx", 0xEE_0043_0040)
    for name_format, line in (("hosts", f"{address} nginx\n"), ("zone", f"nginx IN AAAA {address}\n")):
        done = run_command(host, "status", "--format", name_format)
        assert (done.returncode, done.stdout) == (0, line)
        assert "left out: 'mon_container' is no host name" in done.stderr


def test_tree_shows_uplink_network_and_container(host: Host, mapper: Mapper) -> None:
    """With sysctls, subnet, address and uplink."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    tree = run_command(host, "status", "--tree").stdout
    assert f"uplink {UPLINK} proxy_ndp=1 forwarding=1 accept_ra=2" in tree
    assert f"network he_ipv6 {host.subnet}" in tree
    assert f"mon_container {address} mapped, proxied on {UPLINK}, from outside " in tree


def test_watch_updates_the_table_and_exits_on_ctrl_c(host: Host) -> None:
    """It keeps running while the engine is down. Ctrl-C is its normal end: exit code 0."""
    run_labelled(host, "mon_container")
    with watching(host) as (process, screen):
        eventually(lambda: "pending" in screen() and "no daemon runs" in screen())
        with Mapper(host):
            wait_until_mapped(host)
            eventually(lambda: "mapped" in screen())
        host.engine.stop()
        eventually(lambda: "trying again" in screen())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert "Traceback" not in screen()


@contextmanager
def watching(host: Host) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[], str]]]:
    """Run `status --watch` on a pseudo-terminal; yield the process, and a function returning its output."""
    controller, terminal = pty.openpty()
    os.set_blocking(controller, False)
    output = bytearray()

    def screen() -> str:
        with suppress(BlockingIOError):
            output.extend(os.read(controller, 1 << 16))
        return output.decode(errors="replace")

    # A shell sets SIGINT to ignored for background jobs, and child processes inherit this.
    default_sigint = ("env", "--default-signal=INT")
    argv = command(host, "--state-dir", str(host.state_dir), "status", "--watch", wrapper=default_sigint)
    wide = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    try:
        with subprocess.Popen(
            argv, cwd=CHECKOUT, env=wide, stdin=terminal, stdout=terminal, stderr=terminal
        ) as process:
            try:
                yield process, screen
            finally:
                process.kill()
    finally:
        os.close(terminal)
        os.close(controller)
