"""Providers that drop Neighbour Discovery from link-local addresses on a host's port."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

from tests.lab.containers import run_labelled, wait_until_mapped
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.nodes import HTTP_GET
from tests.lab.prerequisites import CHECKOUT
from tests.lab.router import BRIDGE
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

FOUND = "the kernel's answers may not reach"
"""In the log line on an uplink where the daemon answers too."""

METRICS = "[::1]:9109"
COUNTER = f'dockeripv6mapper_neighbour_answers_total{{uplink="{UPLINK}"}} '

SHORT_LIVED = {
    f"net.ipv6.neigh.{UPLINK}.base_reachable_time_ms": ("1000", "30000"),
    f"net.ipv6.neigh.{UPLINK}.delay_first_probe_time": ("1", "5"),
    f"net.ipv6.neigh.{UPLINK}.retrans_time_ms": ("500", "1000"),
}
"""Sysctls with which an entry of the neighbour cache ages in seconds, and their defaults."""
LONGEST_AGE = 5
"""With those, seconds after which the kernel has given up a neighbour that does not answer: 1.5 s until the
entry is stale, then 1 s, then three solicitations."""


@contextmanager
def filtered(lab: Lab, host: Host) -> Iterator[None]:
    """The provider's filter on the port of this host."""
    with lab.router.without_link_local_discovery(f"port{host.address.packed[-1] - 1}"):
        yield


@contextmanager
def short_lived_neighbours(host: Host) -> Iterator[None]:
    """Let the host's neighbour cache age in seconds instead of minutes."""
    for key, (short, _) in SHORT_LIVED.items():
        host.namespace.set_sysctl(key, short)
    try:
        yield
    finally:
        for key, (_, default) in SHORT_LIVED.items():
            host.namespace.set_sysctl(key, default)


def run_resolved(host: Host) -> IPv6Address:
    """Run a mapped container that the host itself reaches; return its address."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    ping = ("ping", "-6", "-n", "-c", "1", "-W", "1", str(address))
    assert eventually(lambda: host.namespace.run(*ping))
    return address


def forget_neighbours(lab: Lab, host: Host) -> None:
    """Empty the neighbour caches of the router and of the host's uplink."""
    host.namespace.run("ip", "-6", "neigh", "flush", "dev", UPLINK)
    lab.router.flush_neighbours()


def is_unreachable(lab: Lab, host: Host, address: IPv6Address) -> bool:
    """Whether none of four pings of the client is answered where nothing is cached."""
    forget_neighbours(lab, host)
    return not lab.client.ping(address, count=4, timeout=2)


def gets_out(lab: Lab, host: Host, count: int = 1, timeout: int = 3) -> bool:
    """Whether the client answers all of `count` pings of the container, one a second."""
    ping = ("ping", "-6", "-n", "-q", "-c", str(count), "-W", str(timeout), str(lab.client.address))
    done = host.namespace.run(*host.engine.nsenter_container("mon_container", *ping), check=False)
    return f"{count} received" in done.stdout


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers_counted(host: Host) -> float:
    """Return the daemon's count of its answers on the uplink."""
    url = f"http://{METRICS}/metrics"
    text = host.namespace.run(sys.executable, "-c", HTTP_GET, url, "2").stdout
    (line,) = (each for each in text.splitlines() if each.startswith(COUNTER))
    return float(line.removeprefix(COUNTER))


def flood(lab: Lab, target: IPv6Address) -> tuple[int, dict[str, int]]:
    """Solicit an address 10,000 times in a second; return how often, and the answers by their source."""
    program = ("env", "-C", str(CHECKOUT), sys.executable, "-m", "tests.lab.solicitation_flood")
    done = lab.router.namespace.run(*program, BRIDGE, str(target), "1", "10000")
    printed = json.loads(done.stdout)
    return printed["sent"], printed["answers"]


def test_container_is_reachable_where_link_local_discovery_is_dropped(lab: Lab, host: Host) -> None:
    """Within 2 s of its first solicitation; from then on at once; with one log line.

    It also gets out, at first and when its router's entry has become stale.
    """
    with filtered(lab, host), Mapper(host) as mapper:
        address = run_resolved(host)
        while FOUND not in mapper.log():
            # An announcement may have come between, and the router solicits nothing then.
            forget_neighbours(lab, host)
            assert lab.client.ping(address, timeout=2)
        for _ in range(3):
            lab.router.flush_neighbours()
            assert lab.client.ping(address, timeout=0.5)
        with short_lived_neighbours(host):
            assert gets_out(lab, host, count=LONGEST_AGE + 1)
        assert lab.client.ping(host.address)
        assert mapper.log().count(FOUND) == 1


def test_container_that_only_sends_gets_out(lab: Lab, host: Host) -> None:
    """Though the host has no entry for its router, and no solicitation for the container has come yet.

    With `--nd-source kernel` the same container is unreachable and does not get out, and the host is
    reachable.
    """
    with filtered(lab, host):
        with Mapper(host, "--nd-source", "kernel"):
            address = run_resolved(host)
            # The announcements of the first two seconds get through.
            eventually(lambda: is_unreachable(lab, host, address))
            assert not gets_out(lab, host, timeout=1)
            assert eventually(lambda: lab.client.ping(host.address))
        with Mapper(host) as mapper:
            mapper.wait_for_log("proxying neighbour discovery")
            forget_neighbours(lab, host)
            assert gets_out(lab, host)
            assert lab.client.ping(address)


def test_flood_of_solicitations_costs_little(lab: Lab, host: Host) -> None:
    """The daemon answers none twice, and none for an address that it does not proxy."""
    with Mapper(host, "--nd-source", "target", "--metrics", METRICS) as mapper:
        address = run_resolved(host)
        began, before = time.monotonic(), cpu_seconds(mapper.pid)
        sent, sources = flood(lab, address)
        share = (cpu_seconds(mapper.pid) - before) / (time.monotonic() - began)
        assert 0 < sources[str(address)] <= min(sent, answers_counted(host))
        assert share < 0.2, (sent, sources)
        _, sources = flood(lab, host.address)
        assert set(sources) <= {str(host.address)}
