"""`address --network`: prints the address that the daemon would assign, without a running daemon."""

import os
import subprocess

from tests.lab.containers import SUFFIX, run, run_labelled, wait_until_mapped
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import NOBODY, Mapper, run_command, setpriv
from tests.lab.topology import LINK


def address(
    host: Host, name: str, *options: str, wrapper: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `address NAME --network he_ipv6`; `options` may override the network."""
    return run_command(host, "address", name, "--network", "he_ipv6", *options, wrapper=wrapper)


def assert_refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    """Assert exit code 1, an error with `reason` and a remedy, and no address."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: computing the address of ")
    assert reason in done.stderr
    assert "  try: " in done.stderr


def test_printed_address_equals_the_containers_address(host: Host, mapper: Mapper) -> None:
    """Both before the container exists and while it runs. An unknown network is an error."""
    mapper.wait_for_log("proxying neighbour discovery")
    assert address(host, "mon_container").stdout == f"{host.subnet[SUFFIX]}\n"
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    done = address(host, "mon_container")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{host.subnet[SUFFIX]}\n", "")
    assert_refused(address(host, "mon_container", "--network", "nope"), "there is no network 'nope'")


def test_address_of_another_container_is_refused(host: Host) -> None:
    """The other container is running or stopped, and has the address by `--ip6`, not by a label."""
    taken = host.subnet[SUFFIX]
    run(host, "other", "--network", "he_ipv6", "--ip6", str(taken))
    assert_refused(address(host, "mon_container"), f"{taken} is held by container other")
    host.engine.docker("stop", "other")
    assert_refused(address(host, "mon_container"), f"{taken} is held by container other")
    assert address(host, "mon_container", "--suffix", "77").stdout == f"{host.subnet[0x77]}\n"
    assert address(host, "other", "--suffix", "3d:7a:30").stdout == f"{taken}\n"


def test_address_of_host_or_router_is_refused(host: Host) -> None:
    """On a macvlan network, whose containers are on the uplink's link."""
    host.engine.docker("network", "rm", "he_ipv6")
    on_link = ("--driver", "macvlan", "-o", f"parent={UPLINK}", "--gateway", str(LINK[0xFE]))
    host.engine.docker("network", "create", *on_link, "--ipv6", "--subnet", str(LINK), "he_ipv6")
    own = address(host, "any", "--suffix", f"{host.address}".rpartition(":")[2])
    assert_refused(own, f"{host.address} is an address of the host itself")
    assert_refused(address(host, "any", "--suffix", "1"), f"{LINK[1]} is a next hop of the host's routes")


def test_daemon_options_apply_to_the_address_command(host: Host) -> None:
    """`--allow-network` refuses the address as the daemon with that option would."""
    done = run_command(host, "--allow-network", "dmz", "address", "nginx", "--network", "he_ipv6")
    assert_refused(done, "network he_ipv6 is not among those of --allow-network")


def test_address_command_needs_only_the_engines_socket(host: Host) -> None:
    """It needs no capability, and no access to the daemon's state directory."""
    host.state_dir.mkdir(mode=0o700)
    os.chown(host.engine.socket, -1, NOBODY)
    done = address(host, "mon_container", wrapper=setpriv())
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{host.subnet[SUFFIX]}\n", "")
