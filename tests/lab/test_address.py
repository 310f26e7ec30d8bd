"""`address --network`: what the daemon would decide, asked of engine and host without a daemon."""

import os
import subprocess

from tests.lab.containers import SUFFIX, run, run_labelled, wait_until_mapped
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import NOBODY, Mapper, run_command, setpriv
from tests.lab.topology import LINK


def address(
    host: Host, name: str, *options: str, wrapper: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Ask for the address of a name on `he_ipv6`, unless `options` say otherwise."""
    return run_command(host, "address", name, "--network", "he_ipv6", *options, wrapper=wrapper)


def assert_refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    """An error in one sentence with what to do, and no address."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: computing the address of ")
    assert said in done.stderr
    assert "  try: " in done.stderr


def test_it_is_the_address_that_the_container_then_has(host: Host, mapper: Mapper) -> None:
    """Before there is such a container, and while it runs; a network that is not there is an error."""
    mapper.wait_for_log("proxying neighbour discovery")
    assert address(host, "mon_container").stdout == f"{host.subnet[SUFFIX]}\n"
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    done = address(host, "mon_container")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{host.subnet[SUFFIX]}\n", "")
    assert_refused(address(host, "mon_container", "--network", "nope"), "there is no network 'nope'")


def test_an_address_that_another_container_has_is_refused(host: Host) -> None:
    """Whether that one runs with it or is configured with it, and though no label gave it."""
    held = host.subnet[SUFFIX]
    run(host, "other", "--network", "he_ipv6", "--ip6", str(held))
    assert_refused(address(host, "mon_container"), f"{held} is held by container other")
    host.engine.docker("stop", "other")
    assert_refused(address(host, "mon_container"), f"{held} is held by container other")
    assert address(host, "mon_container", "--suffix", "77").stdout == f"{host.subnet[0x77]}\n"
    assert address(host, "other", "--suffix", "3d:7a:30").stdout == f"{held}\n"


def test_an_address_of_the_host_or_of_its_router_is_refused(host: Host) -> None:
    """Where containers share the hosts' link."""
    host.engine.docker("network", "rm", "he_ipv6")
    on_link = ("--driver", "macvlan", "-o", f"parent={UPLINK}", "--gateway", str(LINK[0xFE]))
    host.engine.docker("network", "create", *on_link, "--ipv6", "--subnet", str(LINK), "he_ipv6")
    own = address(host, "any", "--suffix", f"{host.address}".rpartition(":")[2])
    assert_refused(own, f"{host.address} is an address of the host itself")
    assert_refused(address(host, "any", "--suffix", "1"), f"{LINK[1]} is a next hop of the host's routes")


def test_the_daemons_own_options_count(host: Host) -> None:
    """It is asked what that daemon would do."""
    done = run_command(host, "--allow-network", "dmz", "address", "nginx", "--network", "he_ipv6")
    assert_refused(done, "network he_ipv6 is not among those of --allow-network")


def test_an_ordinary_user_with_the_engines_socket_may_ask(host: Host) -> None:
    """Looking at addresses takes no privilege, nor the state of the daemon that runs."""
    host.state_dir.mkdir(mode=0o700)
    os.chown(host.engine.socket, -1, NOBODY)
    done = address(host, "mon_container", wrapper=setpriv())
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{host.subnet[SUFFIX]}\n", "")
