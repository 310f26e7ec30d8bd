"""The cost of many mapped containers: full passes, memory, proxy entries, and an idle daemon."""

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import docker

from tests.benchmark.bursts import LABELS
from tests.benchmark.environment import Condition, Environment, address_of
from tests.benchmark.measurements import Limit, Measurement, Statistic, at_most
from tests.lab.containers import LABEL, MAPPER_PROTOCOL
from tests.lab.engines import IMAGE
from tests.lab.hosts import UPLINK, Host
from tests.lab.waiting import eventually

SIZES = (0, 100, 1_000, 10_000)
SMOKE_SIZES = (0, 10, 20)
PASS_LIMITS = {10_000: at_most(500)}
MEMORY_LIMITS = {0: at_most(55), 1_000: at_most(60), 10_000: at_most(100)}

LISTED = 1_000
SMOKE_LISTED = 4

CHURN = 10_000
SMOKE_CHURN = 100

IDLE_SECONDS = 60
SMOKE_IDLE_SECONDS = 1
WAIT_UNTIL_IDLE_SECONDS = 50
"""A bridge port is in the learning state for 15 s; each change of its state causes a pass."""
HEALTH = ("--health-cmd", "true", "--health-interval", "30s")
TICKS = os.sysconf("SC_CLK_TCK")


def fake_passes(environment: Environment, _n: int) -> Iterator[Measurement]:
    """Full passes that change nothing, with the containers of a fake engine, and the memory used."""
    host = environment.hosts[0]
    sizes = SMOKE_SIZES if environment.smoke_test else SIZES
    samples = {size: _full_pass_samples(host, size) for size in sizes}
    for size, each in samples.items():
        cpu, memory = PASS_LIMITS.get(size, ()), MEMORY_LIMITS.get(size, ())
        condition = f"{size} containers, fake engine"
        yield Measurement("full pass that changes nothing, CPU time", condition, "ms", each["cpu"], cpu)
        yield Measurement("resident memory", condition, "MB", each["rss"], memory)
    small, large = sizes[1], sizes[-1]
    growth = math.log(statistics.median(samples[large]["cpu"]) / statistics.median(samples[small]["cpu"]))
    exponent = growth / math.log(large / small)
    yield Measurement(
        "growth of a full pass's CPU time, exponent", f"{small} to {large}", "", (exponent,), at_most(1.1)
    )


def listed_passes(environment: Environment, _n: int) -> Iterator[Measurement]:
    """Full passes that change nothing, with a real engine's list of containers that have their addresses."""
    count = SMOKE_LISTED if environment.smoke_test else LISTED
    for host in environment.hosts:
        host.reset()
        host.create_network()
        with docker.APIClient(base_url=host.engine.url) as api:
            for number in range(count):
                name = f"listed{number}"
                endpoint = api.create_endpoint_config(ipv6_address=str(address_of(host, name)))
                networking = {"EndpointsConfig": {"he_ipv6": endpoint}}
                api.create_container(IMAGE, name=name, labels=LABELS, networking_config=networking)
        samples = _full_pass_samples(host, count, host.engine.url)
        release = host.engine.flavour.release
        limits = at_most(50)
        yield Measurement(
            f"full pass over a list of {count}, CPU time", release, "ms", samples["cpu"], limits
        )
        yield Measurement(f"full pass over a list of {count}", release, "ms", samples["wall"])
        host.reset()


def fill_proxy_table(environment: Environment, n: int) -> Iterator[Measurement]:
    """Many proxy entries added to an empty table, compared with iproute2."""
    host = environment.hosts[0]
    count = SMOKE_SIZES[-1] if environment.smoke_test else SIZES[-1]
    argv = (sys.executable, "-m", "tests.benchmark.proxy_table", str(count), UPLINK)

    def ratio() -> float:
        ours, theirs = map(float, host.namespace.run(*argv).stdout.split())
        return ours / theirs

    name = f"add {count} proxy entries to an empty table, compared with ip -6 -batch"
    yield Measurement(name, "", "ratio", environment.repeat(ratio, n), at_most(1))


def memory_growth(environment: Environment, _n: int) -> Iterator[Measurement]:
    """Memory after many containers came and went, compared with memory after a tenth of them."""
    host = environment.hosts[0]
    count = SMOKE_CHURN if environment.smoke_test else CHURN
    argv = (sys.executable, "-m", "tests.benchmark.churn", str(count), UPLINK)
    early, late = json.loads(host.namespace.run(*argv, timeout=600).stdout)
    condition = f"{count} lifetimes, fake engine"
    yield Measurement("resident memory", condition, "MB", (late,))
    limits = () if environment.smoke_test else at_most(1.05)
    yield Measurement(
        f"resident memory, compared with that after {count // 10} lifetimes",
        condition,
        "ratio",
        (late / early,),
        limits,
    )


def idle(environment: Environment, n: int) -> Iterator[Measurement]:
    """CPU time with `n` mapped containers while no event concerns the mapper; health checks go on."""
    for host in environment.hosts:
        condition = Condition(host)
        seconds = SMOKE_IDLE_SECONDS if environment.smoke_test else IDLE_SECONDS
        with environment.mapper(condition) as mapper:
            for _ in range(n):
                host.engine.docker("run", "-d", "--name", environment.name(), *LABEL, *HEALTH, IMAGE)
            eventually(partial(_has_entries, host, n + 1))
            time.sleep(
                SMOKE_IDLE_SECONDS if environment.smoke_test else WAIT_UNTIL_IDLE_SECONDS
            )  # nothing reports its end
            before = _cpu_seconds(mapper.pid)
            time.sleep(seconds)  # the idle time that is measured
            used = 100 * (_cpu_seconds(mapper.pid) - before) / seconds
        name = f"CPU, idle with {n} mapped containers and their health checks"
        yield Measurement(name, str(condition), "% of a core", (used,), (Limit(Statistic.MEAN, 0.1),))


def _has_entries(host: Host, count: int) -> bool:
    return len(host.proxy_entries(MAPPER_PROTOCOL)) == count


def _full_pass_samples(host: Host, size: int, *engine: str) -> dict[str, tuple[float, ...]]:
    argv = (sys.executable, "-m", "tests.benchmark.full_pass", str(size), UPLINK, *engine)
    samples: dict[str, list[float]] = json.loads(host.namespace.run(*argv, timeout=600).stdout)
    return {kind: tuple(values) for kind, values in samples.items()}


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
