"""Many containers started at once: the time that the mapper adds to the engine's own."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import docker

from tests.benchmark.environment import Condition, Environment, address_of, prepare, probe
from tests.benchmark.measurements import Measurement, at_most
from tests.lab.engines import IMAGE
from tests.lab.hosts import UPLINK, Host

PARALLEL_STARTS = 10
SIZE = 50
SMOKE_SIZE = 4

LABELS = {"ipv6.mapper.network": "he_ipv6"}
NANOSECONDS = 1_000_000_000


def burst(environment: Environment, n: int) -> Iterator[Measurement]:
    """From the first create request until every container has answered a ping.

    Without the mapper, the benchmark itself connects the same containers and adds their proxy entries
    beforehand. The time is then the engine's own.
    """
    for host in environment.hosts:
        condition = Condition(host)
        with_mapper, without, ratios = [], [], []
        for _ in range(n):
            with environment.mapper(condition):
                with_mapper.append(_seconds_of_burst(environment, host, without_mapper=False))
            prepare(host)
            _enable_proxying(host)
            without.append(_seconds_of_burst(environment, host, without_mapper=True))
            ratios.append(with_mapper[-1] / without[-1])
        name = "50 containers at once, until the last one is reachable"
        yield Measurement(name, str(condition), "s", tuple(with_mapper))
        yield Measurement("the same without the mapper", str(condition), "s", tuple(without))
        name = "50 containers at once, compared with the same without the mapper"
        yield Measurement(name, str(condition), "ratio", tuple(ratios), at_most(1.05))
        host.reset()


def _enable_proxying(host: Host) -> None:
    """Set the sysctls that the mapper would set, so that the kernel answers for the proxy entries."""
    for key in (f"conf.{UPLINK}.proxy_ndp", "conf.all.proxy_ndp", "conf.all.forwarding"):
        host.namespace.set_sysctl(f"net.ipv6.{key}", "1")
    host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "0")


def _seconds_of_burst(environment: Environment, host: Host, *, without_mapper: bool) -> float:
    names = [environment.name() for _ in range(SMOKE_SIZE if environment.smoke_test else SIZE)]
    if without_mapper:
        for name in names:
            host.add_proxy_entry(address_of(host, name))
    began = time.time_ns()
    _start_all(host, names, without_mapper=without_mapper)
    # Not before all are started: after a ping that comes too early, the host waits for its own retry of
    # neighbour discovery.
    addresses = (str(address_of(host, name)) for name in names)
    with probe(environment.router.namespace, "echo", *addresses) as wait_for_echoes:
        seconds = (wait_for_echoes() - began) / NANOSECONDS
    host.engine.docker("rm", "-f", *names)
    return seconds


def _start_all(host: Host, names: Sequence[str], *, without_mapper: bool) -> None:
    with ThreadPoolExecutor(PARALLEL_STARTS) as pool, docker.APIClient(base_url=host.engine.url) as api:
        list(pool.map(partial(_start, api, host, without_mapper=without_mapper), names))


def _start(api: docker.APIClient, host: Host, name: str, *, without_mapper: bool) -> None:
    container = api.create_container(IMAGE, name=name, labels={} if without_mapper else LABELS)
    if without_mapper:
        address = str(address_of(host, name))
        api.connect_container_to_network(container["Id"], "he_ipv6", ipv6_address=address)
    api.start(container["Id"])
