"""`doctor`: each test breaks one thing; doctor reports exactly that, and its printed fix repairs it."""

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.containers import SUFFIX
from tests.lab.engine_choice import on_every_engine
from tests.lab.engines import Flavour
from tests.lab.healthy_host import HealthyHost
from tests.lab.hosts import UPLINK
from tests.lab.mapper import run_command
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

SUBNET = "2001:db8:103:0:77::/80"
"""Inside the uplink's prefix, and not used by any network."""


@pytest.fixture(scope="module")
def healthy_hosts(lab: Lab) -> Iterator[dict[Flavour, HealthyHost]]:
    """One healthy host per engine. A test that leaves it healthy passes it on to the next."""
    hosts = {host.engine.flavour: HealthyHost(host) for host in lab.hosts}
    yield hosts
    for healthy_host in hosts.values():
        healthy_host.tear_down()


@pytest.fixture
def healthy_host(healthy_hosts: dict[Flavour, HealthyHost], flavour: Flavour) -> HealthyHost:
    """The host of the test's engine, restored."""
    healthy_hosts[flavour].restore()
    return healthy_hosts[flavour]


@pytest.fixture
def modern(healthy_hosts: dict[Flavour, HealthyHost]) -> HealthyHost:
    """The host of the engine that knows gateway modes, restored."""
    healthy_hosts[Flavour.MODERN].restore()
    return healthy_hosts[Flavour.MODERN]


def test_the_printed_fixes_repair_the_sysctls_of_a_fresh_host(lab: Lab) -> None:
    """No daemon has run yet, so the sysctls are the kernel's defaults."""
    host = lab.host(Flavour.MODERN)
    host.reset()
    fresh = HealthyHost(host)
    found = fresh.findings()
    assert {each.check for each in found} == {"sysctl"}
    for finding in found:
        fresh.paste(finding.fix)
    assert not fresh.findings()
    table = run_command(host, "doctor")
    assert table.returncode == 0
    assert "accept_ra, proxy_ndp, proxy_delay are as they have to be" in table.stdout


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.ipv6.conf.all.forwarding", "0"),
        (f"net.ipv6.conf.{UPLINK}.accept_ra", "1"),
        (f"net.ipv6.conf.{UPLINK}.proxy_ndp", "0"),
        ("net.ipv6.conf.all.proxy_ndp", "0"),
        (f"net.ipv6.neigh.{UPLINK}.proxy_delay", "80"),
    ],
)
def test_a_reset_sysctl_is_reported_and_fixed(healthy_host: HealthyHost, key: str, value: str) -> None:
    """For example by another program's `sysctl -p`."""
    healthy_host.host.namespace.set_sysctl(key, value)
    finding = healthy_host.assert_only("sysctl", "host")
    assert key in finding.found
    healthy_host.assert_fixed_by(finding.fix)
    healthy_host.is_healthy = True


@dataclass(frozen=True)
class Breakage:
    """One thing to break on the host, and the finding to expect."""

    name: str
    commands: str
    """Shell commands that break it, on the host."""
    check: str
    subject: str
    said: str
    """A part of the finding's text."""
    tidy: str = "true"
    """Shell commands that restore the host after the fix."""
    on: tuple[Flavour, ...] = (Flavour.MODERN,)
    """Engines to test: all if commands, finding or fix depend on the engine, else any one."""


def web(*labels: str, name: str = "web") -> str:
    """Return the command that runs a container with these `ipv6.mapper` labels."""
    options = " ".join(f"--label ipv6.mapper.{label}" for label in labels)
    return f"docker run -d --name {name} {options} busybox:lab"


BREAKAGES = [
    Breakage(
        "network-missing",
        web("network=missing"),
        "network",
        "network 'missing'",
        "there is no network 'missing', which is named by a label of web",
        "docker rm -f web; docker network rm missing",
        on=tuple(Flavour),
    ),
    Breakage(
        "network-without-ipv6",
        f"docker network create plain; {web('network=plain')}",
        "network",
        "network plain",
        "has no IPv6 subnet",
        "docker rm -f web; docker network rm plain",
        on=tuple(Flavour),
    ),
    Breakage(
        "network-predefined",
        web("network=bridge"),
        "network",
        "network bridge",
        "takes no requested address",
        "docker network rm he_ipv62",
    ),
    Breakage(
        "network-with-a-subnet-of-the-engine",
        f"docker network create --ipv6 auto; {web('network=auto')}",
        "network",
        "network auto",
        "accepts no address: the engine chose its subnet",
        "docker rm -f web; docker network rm auto",
        on=() if Flavour.MODERN.takes_any_address else (Flavour.MODERN,),
    ),
    Breakage(
        "network-internal",
        f"docker network create --internal --ipv6 --subnet {SUBNET} inside; {web('network=inside')}",
        "inbound",
        "network inside",
        "the network is internal",
        "docker rm -f web; docker network rm inside",
        on=(Flavour.STABLE,),
    ),
    Breakage(
        "gateway-mode-nat",
        f"docker network create --ipv4=false --ipv6 --subnet {SUBNET} closed; {web('network=closed')}",
        "gateway-mode",
        "network closed",
        "-A PREROUTING -d 2001:db8:103:0:77:",
        "docker rm -f web; docker network rm closed",
    ),
    Breakage(
        "masquerade",
        "docker network create --ipv4=false -o com.docker.network.bridge.gateway_mode_ipv6=nat-unprotected "
        f"--ipv6 --subnet {SUBNET} hidden; {web('network=hidden')}",
        "masquerade",
        "network hidden",
        "-j MASQUERADE",
        "docker rm -f web; docker network rm hidden",
    ),
    Breakage(
        "dual-stack",
        "docker network create -o com.docker.network.bridge.gateway_mode_ipv6=routed "
        f"--ipv6 --subnet {SUBNET} both; {web('network=both')}",
        "dual-stack",
        "network both",
        "moves the IPv4 default route of web",
        "docker rm -f web; docker network rm both",
    ),
    Breakage(
        "driver",
        "docker swarm init --advertise-addr {address} >/dev/null; docker network create -d overlay "
        f"--attachable --ipv6 --subnet {SUBNET} over; {web('network=over')}",
        "driver",
        "network over",
        "has no driver: it could not be created",
        "docker network rm he_ipv62 over; docker swarm leave --force",
    ),
    Breakage(
        "bridge-left-behind",
        "ip link add br-0123456789ab type bridge; ip link set br-0123456789ab up; "
        "ip address add 2001:db8:103:0:{number}:5::1/96 dev br-0123456789ab nodad",
        "overlap",
        "network he_ipv6",
        "belongs to no network of this engine",
        on=(Flavour.OLDEST,),
    ),
    Breakage(
        "subnet-on-another-link",
        f"docker network create {{routed}} --ipv6 --subnet {SUBNET} twice; {web('network=twice')}; "
        "ip link add other type bridge; ip link set other up; "
        f"ip address add {SUBNET.replace('::/', '::2/')} dev other nodad",
        "overlap",
        "network twice",
        f"{SUBNET} is on other, too",
        "docker rm -f web; docker network rm twice; ip link delete other",
        on=(Flavour.STABLE,),
    ),
    Breakage(
        "label-of-a-network",
        f"docker network create {{routed}} --ipv6 --subnet {SUBNET} --label ipv6.mapper.schema=wide typo",
        "label",
        "network typo",
        "did you mean ipv6.mapper.scheme?",
        "docker network rm typo",
        on=(Flavour.OLDEST,),
    ),
    Breakage(
        "scheme-unreadable",
        f"docker network create {{routed}} --ipv6 --subnet {SUBNET} --label ipv6.mapper.scheme=sha odd; "
        f"{web('network=odd')}",
        "network",
        "network odd",
        "expected md5-24 or wide",
        "docker rm -f web; docker network rm odd",
        on=(Flavour.STABLE,),
    ),
    Breakage(
        "uplink-label",
        f"docker network create {{routed}} --ipv6 --subnet {SUBNET} --label ipv6.mapper.uplink=eth7 lost",
        "uplink",
        "network lost",
        "ipv6.mapper.uplink='eth7': there is no such link",
        "docker network rm lost",
        on=(Flavour.OLDEST,),
    ),
    Breakage(
        "collisions",
        "docker network create {routed} --ipv6 --subnet 2001:db8:103:0:77::/122 small; "
        + "; ".join(web("network=small", name=name) for name in ("web", "nginx", "mail")),
        "collisions",
        "network small",
        "the chance that two of 3 names hash to the same 6 bits is 0.05",
        "docker rm -f web nginx mail; docker network rm small",
        on=(Flavour.STABLE,),
    ),
    Breakage(
        "label-unknown",
        web("network=he_ipv6", "sufix=5"),
        "label",
        "container web",
        "did you mean ipv6.mapper.suffix?",
        on=(Flavour.OLDEST,),
    ),
    Breakage(
        "label-unreadable",
        web("network=he_ipv6", "suffix=wxyz"),
        "mapping",
        "container web",
        "[invalid-label]",
        on=(Flavour.STABLE,),
    ),
    Breakage(
        "ports-unreadable",
        web("network=he_ipv6", "ports=80,0"),
        "ports",
        "container web",
        "ipv6.mapper.ports='0'",
        on=(Flavour.OLDEST,),
    ),
    Breakage(
        "address-of-the-gateway",
        web("network=he_ipv6", "suffix=1"),
        "mapping",
        "container web",
        "[gateway]",
        on=(Flavour.STABLE,),
    ),
    Breakage(
        "address-held",
        web("network=he_ipv6", "suffix=3d:7a:30"),
        "mapping",
        "container web",
        "is held by container mon_container [address-held]",
    ),
    Breakage(
        "host-network",
        web("network=he_ipv6", name="web --network host"),
        "mapping",
        "container web",
        "[not-connectable]",
        on=(Flavour.STABLE,),
    ),
    Breakage(
        "mark-overwritten",
        "ip6tables -I FORWARD -j MARK --set-mark 0x1",
        "mark",
        "firewall",
        "-A FORWARD -j MARK --set-xmark 0x1/0xffffffff` overwrites the packet mark",
        "ip6tables -D FORWARD -j MARK --set-xmark 0x1/0xfeffffff",
    ),
]


@pytest.mark.parametrize(
    ("flavour", "breakage"),
    [
        pytest.param(flavour, breakage, id=f"{breakage.name}-{flavour.release}")
        for flavour in Flavour
        for breakage in BREAKAGES
        if flavour in breakage.on
    ],
)
def test_a_breakage_is_the_only_finding_and_its_fix_repairs_it(
    healthy_host: HealthyHost, breakage: Breakage
) -> None:
    """The fix is pasted as printed, and no finding is left."""
    modes = healthy_host.host.engine.flavour.filters_ipv6
    routed = "--ipv4=false -o com.docker.network.bridge.gateway_mode_ipv6=routed" if modes else ""
    number = healthy_host.host.subnet.network_address.packed[9]
    given = {"routed": routed, "number": number, "address": healthy_host.host.address}
    healthy_host.paste(breakage.commands.format(**given))
    finding = healthy_host.await_only(breakage.check, breakage.subject)
    assert breakage.said in finding.found
    healthy_host.assert_fixed_by(finding.fix)
    healthy_host.paste(breakage.tidy)
    healthy_host.is_healthy = True


@on_every_engine("each restores other settings of an endpoint")
def test_the_fix_that_recreates_a_network_reconnects_its_containers(healthy_host: HealthyHost) -> None:
    """Without a daemon: each keeps its address and alias; the stopped container can start."""
    healthy_host.mapper.stop()
    network = f'docker network create --ipv6 --subnet {SUBNET} --label ipv6.mapper.schema=wide "it\'s"'
    healthy_host.paste(network)
    address = SUBNET.replace("::/80", "::7")
    for name, options in (("runs", f"--ip6 {address} --network-alias www"), ("stopped", "")):
        healthy_host.paste(f'docker run -d --name {name} --network "it\'s" {options} busybox:lab')
    healthy_host.paste("docker stop -t 0 stopped")
    (finding,) = (each for each in healthy_host.findings() if each.check == "label")
    healthy_host.paste(finding.fix)
    assert "label" not in {each.check for each in healthy_host.findings()}
    healthy_host.paste("docker start stopped")
    for name in ("runs", "stopped"):
        assert healthy_host.paste(f"docker inspect -f '{{{{.State.Status}}}}' {name}").strip() == "running"
    (endpoint,) = json.loads(
        healthy_host.paste("docker inspect -f '{{json .NetworkSettings.Networks}}' runs")
    ).values()
    assert endpoint["GlobalIPv6Address"] == address
    assert "www" in endpoint["Aliases"]


def test_a_failed_recreation_of_a_network_restores_the_old_network(modern: HealthyHost) -> None:
    """The containers run again although the fix failed."""
    closed = next(each for each in BREAKAGES if each.name == "gateway-mode-nat")
    modern.paste(closed.commands)
    finding = modern.await_only(closed.check, closed.subject)
    modern.paste(finding.fix.replace("gateway_mode_ipv6=routed", "gateway_mode_ipv6=nonsense", 1))
    assert modern.await_only(closed.check, closed.subject).fix == finding.fix
    assert modern.paste("docker inspect -f '{{.State.Status}}' web").strip() == "running"
    modern.paste(closed.tidy)
    modern.is_healthy = True


@pytest.mark.parametrize(("table", "chain"), [("filter", "FORWARD"), ("raw", "PREROUTING")])
def test_dropping_rules_are_named_and_the_fix_inserts_rules_before_them(
    lab: Lab, modern: HealthyHost, table: str, chain: str
) -> None:
    """Pings and connections to an open port get through again."""
    rule = f"{chain} -d {modern.host.subnet} -j DROP"
    modern.paste(f"ip6tables -t {table} -I {rule}")
    found = modern.findings()
    assert [(each.check, each.level) for each in found] == [("inbound", "warn"), ("inbound", "fail")]
    assert all(f"-t {table} -A {rule}" in each.found for each in found)
    address = modern.host.subnet[SUFFIX]
    assert not lab.client.ping(address)
    assert not lab.client.reaches(address, 80)
    for finding in found:
        modern.paste(finding.fix)
    assert modern.findings() == []
    assert lab.client.ping(address)
    assert lab.client.reaches(address, 80)
    modern.paste(f"ip6tables -t {table} -D {rule}")
    for finding in found:
        modern.paste(finding.fix.replace(" -I ", " -D "))
    modern.is_healthy = True


def test_a_dropping_chain_of_another_program_is_reported_and_fixed(lab: Lab, modern: HealthyHost) -> None:
    """The chain is one finding, whose fix lets pings and the label's ports in."""
    policy = "type filter hook forward priority 10; policy drop;"
    modern.paste(f"nft add table inet mine; nft add chain inet mine forward '{{ {policy} }}'")
    modern.paste("nft add rule inet mine forward ct state established,related accept")
    try:
        finding = modern.assert_only("nftables", "firewall")
        assert "chain inet mine forward drops" in finding.found
        assert not lab.client.ping(modern.host.subnet[SUFFIX])
        modern.paste(finding.fix)
        assert modern.findings() == []
        assert lab.client.ping(modern.host.subnet[SUFFIX])
        assert lab.client.reaches(modern.host.subnet[SUFFIX], 80)
    finally:
        # The other tests use the same host.
        modern.paste("nft delete table inet mine")
    modern.is_healthy = True


def test_engine_20_10_with_ip6tables_is_reported_and_fixed(
    lab: Lab, healthy_hosts: dict[Flavour, HealthyHost]
) -> None:
    """It drops even pings, and masquerades."""
    healthy_host = healthy_hosts[Flavour.OLDEST]
    healthy_host.tear_down()
    host = healthy_host.host
    host.engine.ip6tables = True
    host.engine.restart()
    try:
        healthy_host.set_up()
        found = healthy_host.findings()
        assert [each.check for each in found] == ["inbound", "masquerade"]
        assert not lab.client.ping(host.subnet[SUFFIX])
        for finding in found:
            healthy_host.paste(finding.fix)
        healthy_host.wait_until_healthy()
        assert lab.client.ping(host.subnet[SUFFIX], timeout=5)
    finally:
        healthy_host.tear_down()


def test_a_missing_uplink_is_reported_and_fixed(lab: Lab, healthy_host: HealthyHost) -> None:
    """A named link or the default route is missing; the fix names the link with the host's prefix."""
    finding = healthy_host.assert_only("uplink", "uplink eth7", "--uplink", "eth7")
    assert "no link eth7" in finding.found
    assert "FAIL" not in healthy_host.paste(finding.fix)
    healthy_host.host.namespace.run("ip", "-6", "route", "del", "default")
    finding = healthy_host.assert_only("uplink", "host")
    assert "no link has an IPv6 default route" in finding.found
    assert "FAIL" not in healthy_host.paste(finding.fix)
    healthy_host.host.restore_uplink(lab.router.address)
    healthy_host.is_healthy = True


def test_proxy_off_is_reported_for_an_on_link_subnet(healthy_host: HealthyHost) -> None:
    """The router solicits the addresses on the link; the printed command runs doctor with proxying."""
    finding = healthy_host.assert_only("subnet", "network he_ipv6", "--proxy", "off")
    assert "WARN" not in healthy_host.paste(finding.fix)
    healthy_host.is_healthy = True


def test_a_network_not_in_allow_network_is_reported_and_fixed(healthy_host: HealthyHost) -> None:
    """The printed command runs doctor with this network allowed in addition."""
    finding = healthy_host.assert_only("mapping", "container mon_container", "--allow-network", "other")
    assert "DockerIPV6Mapper.py --allow-network other --allow-network he_ipv6 doctor" in finding.fix
    assert "FAIL" not in healthy_host.paste(finding.fix)
    healthy_host.is_healthy = True


def test_a_missing_capability_is_reported_and_fixed(healthy_host: HealthyHost) -> None:
    """The fix is pasted into a root shell, which has the capability."""
    without = ("setpriv", "--bounding-set", "-net_raw")
    found = {each.check: each for each in healthy_host.findings(wrapper=without)}
    # Without CAP_NET_RAW, ip6tables-legacy cannot list its rules either, if the kernel uses it.
    assert found.keys() - {"examination"} == {"capability"}
    assert "CAP_NET_RAW" in found["capability"].found
    assert not {"WARN", "FAIL"} & set(healthy_host.paste(found["capability"].fix).split())
    healthy_host.is_healthy = True


def test_a_network_namespace_other_than_the_engines_is_reported_and_fixed(
    healthy_host: HealthyHost, lab: Lab
) -> None:
    """As in a container without `--network host`; the fix enters the engine's namespace."""
    elsewhere = ("nsenter", f"--net={lab.router.namespace.path}")
    found = {each.check: each for each in healthy_host.findings(wrapper=elsewhere)}
    assert "none of the engine's bridges" in found["namespace"].found
    assert "FAIL" not in healthy_host.paste(found["namespace"].fix, *elsewhere)
    healthy_host.is_healthy = True


def test_a_missing_tool_for_ports_is_reported_and_fixed(healthy_host: HealthyHost) -> None:
    """The command nft is hidden, not removed, so the package manager has nothing to install."""
    hiding = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /usr/sbin/nft && exec "$@"', "sh")
    finding = healthy_host.assert_only("tool", "firewall", wrapper=hiding)
    assert "the command nft is not installed" in finding.found
    healthy_host.assert_fixed_by(finding.fix)
    healthy_host.is_healthy = True


def test_a_socket_without_permission_is_reported_and_fixed(healthy_host: HealthyHost) -> None:
    """The fix adds the user to the socket's group, here in a copy of /etc."""
    healthy_host.paste(f"chgrp docker {healthy_host.host.engine.socket}")
    user = "setpriv --reuid nobody --regid nogroup --init-groups --inh-caps +net_admin,+net_raw "
    user += "--ambient-caps +net_admin,+net_raw --"
    finding = healthy_host.findings(wrapper=tuple(user.split()))[0]
    assert (finding.check, finding.subject) == ("permission", "engine")
    assert "permission denied on the engine's socket" in finding.found
    copied = "mount -t tmpfs none /mnt; cp -a /etc /mnt; mount --bind /mnt/etc /etc"
    script = f"{copied}; {finding.fix}\n{user} DockerIPV6Mapper.py doctor"
    assert "FAIL" not in healthy_host.paste(script, "unshare", "--mount")


def test_a_stopped_engine_is_reported_and_fixed(healthy_host: HealthyHost) -> None:
    """The fix starts it with the service manager; the lab starts it in its place."""
    healthy_host.host.engine.kill()
    finding = healthy_host.assert_only("engine", "engine")
    assert finding.fix == "systemctl start docker"
    healthy_host.host.engine.start()
    eventually(lambda: "engine" not in {each.check for each in healthy_host.findings()}, within=10)


def test_two_networks_with_one_name_are_reported_and_fixed(healthy_hosts: dict[Flavour, HealthyHost]) -> None:
    """Only 20.10's API allows them; the fix removes the unused one by its ID."""
    healthy_host = healthy_hosts[Flavour.OLDEST]
    healthy_host.restore()
    link = http.client.HTTPConnection("engine")
    link.sock = socket.socket(socket.AF_UNIX)
    link.sock.connect(str(healthy_host.host.engine.socket))
    link.request(
        "POST", "/networks/create", json.dumps({"Name": "he_ipv6"}), {"Content-Type": "application/json"}
    )
    assert link.getresponse().status == 201
    link.close()
    finding = healthy_host.await_only("network", "network 'he_ipv6'")
    assert "2 networks are called 'he_ipv6'" in finding.found
    healthy_host.assert_fixed_by(finding.fix)
    healthy_host.is_healthy = True
