"""Neighbour Discovery: what is proxied where, and that it stays so whatever happens to the host."""

import pytest

from tests.lab.containers import (
    MAPPER_PROTOCOL,
    SUFFIX,
    addresses_inside,
    reaches,
    run,
    run_labelled,
    wait_until_mapped,
)
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

SYSCTLS = {
    f"net.ipv6.conf.{UPLINK}.accept_ra": "2",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv6.conf.all.proxy_ndp": "1",
    f"net.ipv6.conf.{UPLINK}.proxy_ndp": "1",
    f"net.ipv6.neigh.{UPLINK}.proxy_delay": "0",
}
"""What proxying needs."""


def sysctls(host: Host) -> dict[str, str]:
    """Those sysctls as they are now."""
    return {key: host.sysctl(key) for key in SYSCTLS}


def test_everything_is_proxied_as_the_older_daemon_did(lab: Lab, host: Host) -> None:
    """With `--proxy all`, a container needs no label; a label of its own still keeps it out."""
    run(host, "plain", "--network", "he_ipv6")
    run(host, "shy", "--network", "he_ipv6", "--label", "ipv6.mapper.proxy=false")
    with Mapper(host, "--proxy", "all"):
        (address,) = addresses_inside(host, "plain")
        eventually(lambda: host.proxy_entries(MAPPER_PROTOCOL) == {(address, UPLINK)})
        assert reaches(lab.router, address)
        host.engine.docker("rm", "-f", "plain")
        eventually(lambda: not host.proxy_entries(MAPPER_PROTOCOL))


def test_nothing_is_proxied_unless_a_label_asks_for_it(lab: Lab, host: Host) -> None:
    """With `--proxy off`, containers are mapped all the same."""
    with Mapper(host, "--proxy", "off") as mapper:
        mapper.wait_for_log("connected to the engine")
        run_labelled(host, "mon_container")
        eventually(lambda: host.subnet[SUFFIX] in addresses_inside(host, "mon_container"))
        run_labelled(host, "nginx", "--label", "ipv6.mapper.proxy=true")
        assert reaches(lab.router, wait_until_mapped(host, "nginx", 0xEE_0043_0040))
        assert len(host.proxy_entries(MAPPER_PROTOCOL)) == 1


@pytest.mark.parametrize("options", [(), ("--uplink", "up1")], ids=["label", "option"])
def test_a_network_is_proxied_on_the_uplink_that_is_named_for_it(
    lab: Lab, host: Host, options: tuple[str, ...]
) -> None:
    """By the network's label, or for all networks by the option; with its sysctls, and not elsewhere."""
    host.namespace.add_veth("up1", lab.router.namespace, "second", "link0")
    try:
        host.engine.docker("network", "rm", "he_ipv6")
        labelled = () if options else ("--label", "ipv6.mapper.uplink=up1")
        host.create_network("he_ipv6", *labelled)
        with Mapper(host, *options) as mapper:
            mapper.wait_for_log("uplink up1: proxying")
            run_labelled(host, "mon_container")
            eventually(lambda: host.proxy_entries(MAPPER_PROTOCOL) == {(host.subnet[SUFFIX], "up1")})
            assert host.sysctl("net.ipv6.conf.up1.proxy_ndp") == "1"
            # The uplink is new too: its own address is tentative at first.
            assert eventually(lambda: reaches(lab.router, host.subnet[SUFFIX]))
    finally:
        host.namespace.run("ip", "link", "del", "up1")


def test_an_uplink_label_that_names_no_link_is_a_warning(host: Host) -> None:
    """The mapping itself is made."""
    host.engine.docker("network", "rm", "he_ipv6")
    host.create_network("he_ipv6", "--label", "ipv6.mapper.uplink=eth9")
    with Mapper(host) as mapper:
        mapper.wait_for_log("WARNING.*he_ipv6.*ipv6.mapper.uplink='eth9'.*no such link")
        run_labelled(host, "mon_container")
        eventually(lambda: host.subnet[SUFFIX] in addresses_inside(host, "mon_container"))
        assert not host.proxy_entries(MAPPER_PROTOCOL)


def test_a_tunnel_needs_no_entries(host: Host) -> None:
    """A broker's routed prefix: said once, and mapped all the same."""
    host.namespace.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    host.namespace.run("ip", "link", "set", "tun0", "up")
    try:
        with Mapper(host, "--uplink", "tun0") as mapper:
            mapper.wait_for_log("uplink tun0 has no neighbour discovery, so it needs no proxy entries")
            run_labelled(host, "mon_container")
            eventually(lambda: host.subnet[SUFFIX] in addresses_inside(host, "mon_container"))
            assert not host.proxy_entries(MAPPER_PROTOCOL)
            assert mapper.log().count("no neighbour discovery") == 1
    finally:
        host.namespace.run("ip", "tuntap", "del", "tun0", "mode", "tun")


def test_a_default_route_that_comes_later_makes_the_uplink(lab: Lab, host: Host) -> None:
    """Without one, containers are mapped, nobody answers for them, and a warning names what is missing."""
    default = ("default", "via", str(lab.router.address), "dev", UPLINK)
    host.namespace.run("ip", "-6", "route", "del", *default)
    with Mapper(host) as mapper:
        try:
            mapper.wait_for_log(f"WARNING.*no default route by {UPLINK}")
            run_labelled(host, "mon_container")
            eventually(lambda: host.subnet[SUFFIX] in addresses_inside(host, "mon_container"))
            assert not host.proxy_entries(MAPPER_PROTOCOL)
        finally:
            host.namespace.run("ip", "-6", "route", "add", *default)
        assert reaches(lab.router, wait_until_mapped(host))


def test_an_uplink_that_is_made_anew_is_followed(lab: Lab, host: Host) -> None:
    """It has another index then, and the kernel has forgotten its entries."""
    host.namespace.add_veth("up1", lab.router.namespace, "second", "link0")
    try:
        with Mapper(host, "--uplink", "up1") as mapper:
            mapper.wait_for_log("uplink up1: proxying")
            run_labelled(host, "mon_container")
            eventually(lambda: host.proxy_entries(MAPPER_PROTOCOL) == {(host.subnet[SUFFIX], "up1")})
            host.namespace.run("ip", "link", "del", "up1")
            mapper.wait_for_log("WARNING.*there is no link up1")
            host.namespace.add_veth("up1", lab.router.namespace, "second", "link0")
            eventually(
                lambda: host.proxy_entries(MAPPER_PROTOCOL) == {(host.subnet[SUFFIX], "up1")}, within=5
            )
    finally:
        host.namespace.run("ip", "link", "del", "up1")


def test_sysctls_are_set_said_and_set_again(host: Host) -> None:
    """Each change with its old and new value; the kernel tells of most, and the next pass finds the rest."""
    for key in SYSCTLS:
        host.namespace.set_sysctl(key, "1" if key.endswith("accept_ra") else "0")
    host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "80")
    with Mapper(host, "--resync", "1") as mapper:
        run_labelled(host, "mon_container")
        eventually(lambda: sysctls(host) == SYSCTLS)
        mapper.wait_for_log(f"sysctl net.ipv6.conf.{UPLINK}.accept_ra: 1 → 2")
        mapper.wait_for_log(f"sysctl net.ipv6.neigh.{UPLINK}.proxy_delay: 80 → 0")
        said = mapper.log()
        assert said.index("accept_ra: 1 → 2") < said.index("all.forwarding: 0 → 1")
        host.namespace.set_sysctl("net.ipv6.conf.all.proxy_ndp", "0")
        host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "80")
        eventually(lambda: sysctls(host) == SYSCTLS)


def test_sysctls_are_only_spoken_of_where_they_must_not_be_set(host: Host) -> None:
    """`--no-sysctl` says which are wrong."""
    before = sysctls(host)
    with Mapper(host, "--no-sysctl") as mapper:
        mapper.wait_for_log(f"WARNING.*conf/{UPLINK}/proxy_ndp is 0, and has to be 1")
        run_labelled(host, "mon_container")
        wait_until_mapped(host)
    assert sysctls(host) == before


@pytest.mark.parametrize("trial", ["link down", "disable_ipv6"])
def test_entries_that_the_kernel_flushed_come_back_at_once(
    lab: Lab, host: Host, mapper: Mapper, trial: str
) -> None:
    """The watcher hears of it; the next full pass is half a minute away."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    if trial == "link down":
        host.namespace.run("ip", "link", "set", UPLINK, "down")
        eventually(lambda: not host.proxy_entries())
        host.namespace.run("ip", "link", "set", UPLINK, "up")
    else:
        host.namespace.set_sysctl(f"net.ipv6.conf.{UPLINK}.disable_ipv6", "1")
        eventually(lambda: not host.proxy_entries())
        host.namespace.set_sysctl(f"net.ipv6.conf.{UPLINK}.disable_ipv6", "0")
    host.restore_uplink(lab.router.address)
    assert wait_until_mapped(host) == address
    assert reaches(lab.router, address)


def test_entries_that_somebody_flushed_come_back_within_a_resync(host: Host) -> None:
    """The kernel tells nobody of that; a SIGHUP is a reason to look as well."""
    with Mapper(host, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run_labelled(host, "mon_container")
        address = wait_until_mapped(host)
        host.namespace.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", UPLINK)
        assert wait_until_mapped(host) == address


def test_somebody_elses_entry_is_not_adopted_and_survives_a_cleanup(host: Host, mapper: Mapper) -> None:
    """Neither one for an address that is mapped, nor any other; ours are gone after it."""
    mapper.wait_for_log("proxying neighbour discovery")
    theirs, other = host.subnet[SUFFIX], host.subnet[0xF0]
    host.add_proxy_entry(theirs)
    host.add_proxy_entry(other)
    run_labelled(host, "mon_container")
    run_labelled(host, "nginx")
    ours = wait_until_mapped(host, "nginx", 0xEE_0043_0040)
    eventually(lambda: theirs in addresses_inside(host, "mon_container"))
    assert host.proxy_entries(MAPPER_PROTOCOL) == {(ours, UPLINK)}
    assert mapper.stop() == 0
    done = run_command(host, "cleanup")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "entry" in line] == [
        f"removed proxy entry {ours} on {UPLINK}"
    ]
    assert host.proxy_entries() == {(theirs, UPLINK), (other, UPLINK)}
    assert "nothing to remove" in run_command(host, "cleanup").stdout


def test_entries_whose_mark_the_kernel_forgot_are_known_by_the_record(host: Host) -> None:
    """As on some kernels of 2025: an entry without a number that the record names is ours."""
    forgotten, theirs = host.subnet[0xA1], host.subnet[0xA2]
    host.add_proxy_entry(forgotten)
    host.add_proxy_entry(theirs)
    host.state_dir.mkdir()
    (host.state_dir / "proxies").write_text(f"{forgotten} {UPLINK}\n")
    with Mapper(host):
        eventually(lambda: host.proxy_entries() == {(theirs, UPLINK)})


def test_a_kernel_that_keeps_the_mark_needs_no_record(host: Host, mapper: Mapper) -> None:
    """It is written before the first entry, and removed when the mark was seen to be kept."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    eventually(lambda: not (host.state_dir / "proxies").exists())


def test_a_dry_run_says_everything_and_changes_nothing(host: Host) -> None:
    """Sysctls, endpoints, entries."""
    before = sysctls(host)
    run_labelled(host, "mon_container")
    with Mapper(host, "--dry-run") as mapper:
        mapper.wait_for_log("would connect container mon_container to network he_ipv6")
        mapper.wait_for_log(f"conf/{UPLINK}/proxy_ndp is 0, and has to be 1")
    assert sysctls(host) == before
    assert not host.proxy_entries()
    assert host.subnet[SUFFIX] not in addresses_inside(host, "mon_container")
    assert not host.state_dir.exists()
