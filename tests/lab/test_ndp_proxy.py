"""NDP proxy entries and sysctls: which addresses are proxied on which uplink, and how they are restored."""

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
"""The sysctls that NDP proxying needs."""


def sysctls(host: Host) -> dict[str, str]:
    """Return the current values of `SYSCTLS`."""
    return {key: host.sysctl(key) for key in SYSCTLS}


def test_proxy_all_proxies_unlabelled_containers(lab: Lab, host: Host) -> None:
    """As docker-ndp-daemon did; `ipv6.mapper.proxy=false` excludes a container."""
    run(host, "plain", "--network", "he_ipv6")
    run(host, "excluded", "--network", "he_ipv6", "--label", "ipv6.mapper.proxy=false")
    with Mapper(host, "--proxy", "all"):
        (address,) = addresses_inside(host, "plain")
        eventually(lambda: host.proxy_entries(MAPPER_PROTOCOL) == {(address, UPLINK)})
        assert reaches(lab.client, address)
        host.engine.docker("rm", "-f", "plain")
        eventually(lambda: not host.proxy_entries(MAPPER_PROTOCOL))


def test_proxy_off_proxies_only_containers_with_proxy_label(lab: Lab, host: Host) -> None:
    """With `--proxy off`, containers are still mapped."""
    with Mapper(host, "--proxy", "off") as mapper:
        mapper.wait_for_log("connected to the engine")
        run_labelled(host, "mon_container")
        eventually(lambda: host.subnet[SUFFIX] in addresses_inside(host, "mon_container"))
        run_labelled(host, "nginx", "--label", "ipv6.mapper.proxy=true")
        assert reaches(lab.client, wait_until_mapped(host, "nginx", 0xEE_0043_0040))
        assert len(host.proxy_entries(MAPPER_PROTOCOL)) == 1


@pytest.mark.parametrize("options", [(), ("--uplink", "up1")], ids=["label", "option"])
def test_network_is_proxied_on_its_configured_uplink(lab: Lab, host: Host, options: tuple[str, ...]) -> None:
    """By the network's label or by `--uplink`; the uplink's sysctls are set, other links get no entry."""
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
            # The uplink is new: its link-local address is tentative at first.
            assert eventually(lambda: reaches(lab.client, host.subnet[SUFFIX]))
    finally:
        host.namespace.run("ip", "link", "del", "up1")


def test_uplink_label_with_unknown_link_is_a_warning(host: Host) -> None:
    """The container is still mapped, without a proxy entry."""
    host.engine.docker("network", "rm", "he_ipv6")
    host.create_network("he_ipv6", "--label", "ipv6.mapper.uplink=eth9")
    with Mapper(host) as mapper:
        mapper.wait_for_log("WARNING.*he_ipv6.*ipv6.mapper.uplink='eth9'.*no such link")
        run_labelled(host, "mon_container")
        eventually(lambda: host.subnet[SUFFIX] in addresses_inside(host, "mon_container"))
        assert not host.proxy_entries(MAPPER_PROTOCOL)


def test_tunnel_uplink_gets_no_proxy_entries(host: Host) -> None:
    """As with a tunnel broker's routed prefix: logged once, and containers are still mapped."""
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


def test_link_with_a_later_default_route_becomes_the_uplink(lab: Lab, host: Host) -> None:
    """Before, containers are mapped without a proxy entry, and a warning names the missing default route."""
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
        assert reaches(lab.client, wait_until_mapped(host))


def test_entries_return_on_a_recreated_uplink(lab: Lab, host: Host) -> None:
    """The new link has another index and no entries."""
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


def test_sysctls_are_set_logged_and_restored(host: Host) -> None:
    """Each change is logged with old and new value. Sysctls reset later are set again."""
    for key in SYSCTLS:
        host.namespace.set_sysctl(key, "1" if key.endswith("accept_ra") else "0")
    host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "80")
    with Mapper(host, "--resync", "1") as mapper:
        run_labelled(host, "mon_container")
        eventually(lambda: sysctls(host) == SYSCTLS)
        mapper.wait_for_log(f"sysctl net.ipv6.conf.{UPLINK}.accept_ra: 1 → 2")
        mapper.wait_for_log(f"sysctl net.ipv6.neigh.{UPLINK}.proxy_delay: 80 → 0")
        log = mapper.log()
        assert log.index("accept_ra: 1 → 2") < log.index("all.forwarding: 0 → 1")
        host.namespace.set_sysctl("net.ipv6.conf.all.proxy_ndp", "0")
        host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "80")
        eventually(lambda: sysctls(host) == SYSCTLS)


def test_no_sysctl_only_warns_about_wrong_sysctls(host: Host) -> None:
    """With `--no-sysctl`, the values do not change."""
    before = sysctls(host)
    with Mapper(host, "--no-sysctl") as mapper:
        mapper.wait_for_log(f"WARNING.*conf/{UPLINK}/proxy_ndp is 0, and has to be 1")
        run_labelled(host, "mon_container")
        wait_until_mapped(host)
    assert sysctls(host) == before


@pytest.mark.parametrize("trial", ["link down", "disable_ipv6"])
def test_entries_flushed_by_the_kernel_are_restored_at_once(
    lab: Lab, host: Host, mapper: Mapper, trial: str
) -> None:
    """After a netlink notification: the next periodic pass would come after 30 s."""
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
    assert reaches(lab.client, address)


def test_entry_deleted_by_a_user_is_restored_by_the_resync(host: Host) -> None:
    """The kernel sends no notification of a deleted proxy entry."""
    with Mapper(host, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run_labelled(host, "mon_container")
        address = wait_until_mapped(host)
        host.namespace.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", UPLINK)
        assert wait_until_mapped(host) == address


def test_foreign_entry_is_not_adopted_and_survives_cleanup(host: Host, mapper: Mapper) -> None:
    """Also a foreign entry for a mapped address. The mapper's own entries are removed."""
    mapper.wait_for_log("proxying neighbour discovery")
    foreign, other = host.subnet[SUFFIX], host.subnet[0xF0]
    host.add_proxy_entry(foreign)
    host.add_proxy_entry(other)
    run_labelled(host, "mon_container")
    run_labelled(host, "nginx")
    own = wait_until_mapped(host, "nginx", 0xEE_0043_0040)
    eventually(lambda: foreign in addresses_inside(host, "mon_container"))
    assert host.proxy_entries(MAPPER_PROTOCOL) == {(own, UPLINK)}
    assert mapper.stop() == 0
    done = run_command(host, "cleanup")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "entry" in line] == [
        f"removed proxy entry {own} on {UPLINK}"
    ]
    assert host.proxy_entries() == {(foreign, UPLINK), (other, UPLINK)}
    assert "nothing to remove" in run_command(host, "cleanup").stdout


def test_entry_without_protocol_in_the_state_file_is_removed_as_own(host: Host) -> None:
    """Some kernels of 2025 lose the protocol number; the state file then identifies the mapper's entries."""
    recorded, foreign = host.subnet[0xA1], host.subnet[0xA2]
    host.add_proxy_entry(recorded)
    host.add_proxy_entry(foreign)
    host.state_dir.mkdir()
    (host.state_dir / "proxies").write_text(f"{recorded} {UPLINK}\n")
    with Mapper(host):
        eventually(lambda: host.proxy_entries() == {(foreign, UPLINK)})


def test_state_file_is_removed_if_the_kernel_keeps_the_protocol(host: Host, mapper: Mapper) -> None:
    """It is written before the first entry, and removed after the entry was read back with its protocol."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    eventually(lambda: not (host.state_dir / "proxies").exists())


def test_dry_run_logs_everything_and_changes_nothing(host: Host) -> None:
    """Neither sysctls, endpoints, proxy entries nor state directory."""
    before = sysctls(host)
    run_labelled(host, "mon_container")
    with Mapper(host, "--dry-run") as mapper:
        mapper.wait_for_log("would connect container mon_container to network he_ipv6")
        mapper.wait_for_log(f"conf/{UPLINK}/proxy_ndp is 0, and has to be 1")
    assert sysctls(host) == before
    assert not host.proxy_entries()
    assert host.subnet[SUFFIX] not in addresses_inside(host, "mon_container")
    assert not host.state_dir.exists()
