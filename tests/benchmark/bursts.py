"""Many containers at once: what the mapper adds to what the engine takes for them."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import docker

from tests.benchmark.environment import Condition, Environment, address_of, prepare, probe
from tests.benchmark.measurements import Measurement, at_most
from tests.lab.engines import IMAGE
from tests.lab.hosts import UPLINK, Host

AT_ONCE = 10
"""How many are being started at any moment."""
SIZE = 50
SMOKE_SIZE = 4

LABELS = {"ipv6.mapper.network": "he_ipv6"}
NANOSECONDS = 1_000_000_000


def burst(environment: Environment, n: int) -> Iterator[Measurement]:
    """From the first create to the last one's first answered ping.

    Without the mapper the same containers are connected by whoever starts them, and their proxy entries
    are there before: what is left is the engine's own work.
    """
    for host in environment.hosts:
        condition = Condition(host)
        with_mapper, without, ratios = [], [], []
        for _ in range(n):
            with environment.mapper(condition):
                with_mapper.append(_burst(environment, host, connecting=False))
            prepare(host)
            _enable_proxying(host)
            without.append(_burst(environment, host, connecting=True))
            ratios.append(with_mapper[-1] / without[-1])
        yield Measurement("burst of 50, last one reachable", str(condition), "s", tuple(with_mapper))
        yield Measurement("the same, connected by hand", f"{condition}, no mapper", "s", tuple(without))
        yield Measurement("the one by the other", str(condition), "ratio", tuple(ratios), at_most(1.05))
        host.reset()


def _enable_proxying(host: Host) -> None:
    """Set the sysctls that the mapper would set, so that entries made by hand are answered for."""
    for key in (f"conf.{UPLINK}.proxy_ndp", "conf.all.proxy_ndp", "conf.all.forwarding"):
        host.namespace.set_sysctl(f"net.ipv6.{key}", "1")
    host.namespace.set_sysctl(f"net.ipv6.neigh.{UPLINK}.proxy_delay", "0")


def _burst(environment: Environment, host: Host, *, connecting: bool) -> float:
    names = [environment.name() for _ in range(SMOKE_SIZE if environment.smoke_test else SIZE)]
    if connecting:
        for name in names:
            host.add_proxy_entry(address_of(host, name))
    began = time.time_ns()
    _start_all(host, names, connecting=connecting)
    # Asked only now: a ping that comes too early would have the host wait for its own next try.
    with probe(
        environment.router.namespace, "echo", *(str(address_of(host, name)) for name in names)
    ) as echoed:
        seconds = (echoed() - began) / NANOSECONDS
    host.engine.docker("rm", "-f", *names)
    return seconds


def _start_all(host: Host, names: Sequence[str], *, connecting: bool) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool, docker.APIClient(base_url=host.engine.url) as api:
        list(pool.map(partial(_start, api, host, connecting=connecting), names))


def _start(api: docker.APIClient, host: Host, name: str, *, connecting: bool) -> None:
    container = api.create_container(IMAGE, name=name, labels={} if connecting else LABELS)
    if connecting:
        address = str(address_of(host, name))
        api.connect_container_to_network(container["Id"], "he_ipv6", ipv6_address=address)
    api.start(container["Id"])
