"""From which address a mapped container that is on another network with IPv6 sends to the outside.

Measured: which network the engine chose for the default routes, the mapped one (M) or the other (O).
The same whether it was attached before the start or while it ran, and after a restart of the container or of
the engine. "First" is the network whose name sorts first.

| engine | mapped | other | gateway priority of the mapped one | IPv6 | IPv4 |
|---|---|---|---|---|---|
| 20.10, 28.5 | IPv4, IPv6 | IPv4 | any | M | M |
| 20.10, 28.5 | IPv4, IPv6 | IPv4, IPv6 | none | first | first |
| 28.5 | IPv4, IPv6 | IPv4, IPv6 | 1, 100 | M | M |
| 28.5 | IPv4, IPv6 | IPv4, IPv6 | -1 | O | O |
| 28.5 | IPv4, IPv6 | IPv6 | any | M | M |
| 28.5 | IPv6 | IPv4 | any | M | O |
| 28.5 | IPv6 | IPv4, IPv6 | any | O | O |
| 28.5 | IPv6 | IPv6 | none | first | |
| 28.5 | IPv6 | IPv6 | 1, 100 | M | |
| 28.5 | IPv6 | IPv6 | -1 | O | |

Engine 26.1 is as 20.10. From 29.4.2 on, the highest priority counts, for each family apart.
"""

import json
import re
from ipaddress import IPv6Address

from tests.lab.containers import (
    LABEL,
    addresses_inside,
    endpoints_of,
    run,
    run_labelled,
    wait_until_mapped,
)
from tests.lab.engine_choice import on_every_engine
from tests.lab.engines import Flavour
from tests.lab.healthy_host import HealthyHost
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

OTHER_SUBNET, THIRD_SUBNET = "fd00:aaaa::/64", "fd00:cccc::/80"


def create_other_network(host: Host, name: str = "aaa") -> None:
    """Create a network with both families, whose name sorts before `he_ipv6`."""
    host.engine.docker("network", "create", "--ipv6", "--subnet", OTHER_SUBNET, name)


def address_on(host: Host, name: str, network: str) -> str:
    """Return the container's IPv6 address on a network."""
    return str(endpoints_of(host, name)[network]["GlobalIPv6Address"])


def source_at_client(lab: Lab, host: Host, name: str) -> str:
    """Return the source address of the container's pings, as the client receives them."""
    match = "icmp6 and icmp6[0] == 128"
    with lab.client.namespace.popen("tcpdump", "-lni", "eth0", "-c", "1", match) as tcpdump:
        assert tcpdump.stderr is not None
        while "listening on" not in tcpdump.stderr.readline():
            pass
        ping = ("ping", "-6", "-c", "3", "-W", "1", str(lab.client.address))
        host.engine.docker("exec", name, *ping, check=False)
        captured, _ = tcpdump.communicate(timeout=10)
    found = re.search(r"IP6 (\S+) > ", captured)
    assert found, captured
    return found[1]


def status(host: Host) -> tuple[int, dict[str, str | None]]:
    """Return the exit code of `status --json`, and the field `outgoing` by the container's name."""
    done = run_command(host, "status", "--json")
    return done.returncode, {each["name"]: each["outgoing"] for each in json.loads(done.stdout)["containers"]}


def outgoing(host: Host) -> dict[str, str | None]:
    """Return the field `outgoing` of `status --json`, by the container's name."""
    return status(host)[1]


def findings(host: Host) -> dict[str, dict[str, str]]:
    """Return the check `default-route` of `doctor --json`, by subject."""
    shown = json.loads(run_command(host, "doctor", "--json").stdout)["findings"]
    return {each["subject"]: each for each in shown if each["check"] == "default-route"}


@on_every_engine("each chooses default routes in its own way")
def test_container_on_two_networks_sends_from_its_mapped_address_where_the_engine_can_be_told(
    lab: Lab, host: Host, mapper: Mapper
) -> None:
    """Since 28 by a gateway priority, unless a label says no; before, `status` and `doctor` say it."""
    mapper.wait_for_log("proxying neighbour discovery")
    create_other_network(host)
    run_labelled(host, "mon_container", "--network", "aaa")
    run_labelled(host, "kept", "--network", "aaa", "--label", "ipv6.mapper.default-route=false")
    mapped = str(wait_until_mapped(host))
    eventually(lambda: "he_ipv6" in endpoints_of(host, "kept") and address_on(host, "kept", "he_ipv6"))
    other = address_on(host, "kept", "aaa")
    if not host.engine.flavour.has_priorities:
        assert_told_and_fixed(host, mapped)
        return
    assert status(host) == (0, {"mon_container": mapped, "kept": other})
    assert all(each["level"] == "ok" for each in findings(host).values())
    assert source_at_client(lab, host, "mon_container") == mapped
    host.engine.docker("restart", "mon_container")
    wait_until_mapped(host)
    assert source_at_client(lab, host, "mon_container") == mapped
    host.engine.docker("update", "--restart", "always", "mon_container", "kept")
    host.engine.restart()
    wait_until_mapped(host)
    expected = {"mon_container": mapped, "kept": address_on(host, "kept", "aaa")}
    eventually(lambda: status(host) == (0, expected))


def assert_told_and_fixed(host: Host, mapped: str) -> None:
    """Assert that `status` and `doctor` say that a container sends from its other address; run the fix."""
    other = address_on(host, "mon_container", "aaa")
    assert status(host) == (3, {"mon_container": other, "kept": address_on(host, "kept", "aaa")})
    assert f"sends from {other}" in run_command(host, "status", "--tree").stdout
    told = findings(host)
    assert told["container kept"]["level"] == "ok", "its label chose the other address"
    finding = told["container mon_container"]
    assert (finding["level"], mapped in finding["why"]) == ("warn", True)
    HealthyHost(host).paste(finding["fix"])
    wait_until_mapped(host)
    assert outgoing(host) == {"mon_container": mapped, "kept": str(host.subnet[suffix_of_kept(host)])}


def suffix_of_kept(host: Host) -> int:
    """Return the suffix of the container `kept`."""
    address = next(each for each in addresses_inside(host, "kept") if each in host.subnet)
    return int(address) - int(host.subnet.network_address)


def test_a_network_without_ipv4_takes_the_ipv6_default_route_alone(lab: Lab) -> None:
    """Beside a network with IPv6 alone by priority; beside one with both families `doctor` has a fix."""
    host = lab.host(Flavour.MODERN)
    host.reset()
    host.create_network("he_ipv6", "--ipv4=false")
    create_other_network(host)
    host.engine.docker("network", "create", "--ipv6", "--ipv4=false", "--subnet", THIRD_SUBNET, "bbb")
    with Mapper(host) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run(host, "six", *LABEL, "--network", "bbb")
        run_labelled(host, "mon_container", "--network", "aaa")
        mapped = str(wait_until_mapped(host))
        six = eventually(lambda: IPv6Address(address_on(host, "six", "he_ipv6")))
        assert outgoing(host) == {"mon_container": address_on(host, "mon_container", "aaa"), "six": str(six)}
        ipv4_routes = host.engine.docker("exec", "mon_container", "ip", "route", "show", "default")
        assert f"via {endpoints_of(host, 'mon_container')['aaa']['Gateway']} " in ipv4_routes
        told = findings(host)
        assert told["container six"]["level"] == "ok"
        HealthyHost(host).paste(told["container mon_container"]["fix"])
        wait_until_mapped(host)
        assert outgoing(host) == {"mon_container": mapped, "six": str(six)}
    host.reset()
