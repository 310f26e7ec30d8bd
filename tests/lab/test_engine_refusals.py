"""Networks that the engine attaches no container to at a requested address: refused, and not tried again."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.containers import run
from tests.lab.engine_choice import on_every_engine
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.waiting import eventually

POOLS = (
    "--default-address-pool=base=172.30.0.0/16,size=24",
    "--default-address-pool=base=fd00:1234::/56,size=64",
)
"""Engines before 27 choose an IPv6 subnet only from pools of their settings."""

pytestmark = on_every_engine("each refuses other requests")


@contextmanager
def pools(host: Host) -> Iterator[None]:
    """Let the engine choose IPv6 subnets; engines since 27 do so anyway."""
    if host.engine.flavour.filters_ipv6:
        yield
        return
    host.engine.flags = POOLS
    host.engine.restart()
    try:
        yield
    finally:
        host.engine.flags = ()
        host.reset()
        host.engine.restart()


def refusal(host: Host, name: str) -> tuple[str, str | None]:
    """Return state and reason of a container, as `status --json` prints them."""
    rows = json.loads(run_command(host, "status", "--json").stdout)["containers"]
    return next((row["state"], row["reason"]) for row in rows if row["name"] == name)


def test_a_network_whose_subnet_the_engine_chose_is_asked_once(host: Host) -> None:
    """Its other containers are refused without asking, until SIGHUP; `status` and the log say why.

    Engines since 29 take the address.
    """
    with pools(host), Mapper(host) as mapper:
        mapper.wait_for_log("connected to the engine")
        host.engine.docker("network", "create", "--ipv6", "auto")
        run(host, "web", "--label", "ipv6.mapper.network=auto")
        if host.engine.flavour.takes_any_address:
            mapper.wait_for_log("done: connect container web to network auto")
            return
        mapper.wait_for_log("container web is not mapped: network auto accepts no address")
        assert refusal(host, "web") == ("refused", "network-accepts-no-address")
        run(host, "second", "--label", "ipv6.mapper.network=auto")
        host.engine.docker("network", "create", "other")
        run(host, "third", "--label", "ipv6.mapper.network=other")
        mapper.wait_for_log("container second is not mapped: network auto accepts no address")
        mapper.wait_for_log("container third is not mapped: network other has no IPv6 subnet")
        assert mapper.log().count("asking the engine: connect") == 1
        os.kill(mapper.pid, signal.SIGHUP)
        eventually(lambda: mapper.log().count("asking the engine: connect") > 1)
        eventually(lambda: refusal(host, "web") == ("refused", "network-accepts-no-address"))
        assert host.engine.docker("inspect", "-f", "{{.State.Running}}", "web", "second") == "true\ntrue"


def test_a_container_that_names_an_unsupported_network_starts(host: Host) -> None:
    """An engine may accept the connect, and then not start the container."""
    docker = host.engine.docker
    docker("network", "rm", "he_ipv6")
    docker("swarm", "init", "--advertise-addr", str(host.address))
    with Mapper(host) as mapper:
        mapper.wait_for_log("connected to the engine")
        for name, *options in (("over", "-d", "overlay", "--attachable"), ("only", "--config-only")):
            host.create_network(name, *options, gateway_mode=None)
            run(host, f"on-{name}", "--label", f"ipv6.mapper.network={name}")
            mapper.wait_for_log(f"container on-{name} is not mapped: network {name} ")
            assert refusal(host, f"on-{name}") == ("refused", "network-unsupported")
            docker("network", "rm", name)
