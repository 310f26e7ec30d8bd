"""Observation: engine and kernel observed once, for the commands.

With the daemon's own `Desired` and planner, so that the two agree.
"""

import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address

from dockeripv6mapper.actions import Release, Vacate
from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.config import peer_process
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.engine.refusals import RefusalRecord
from dockeripv6mapper.errors import GoneError, KernelRefusedError, MapperError, NoAnswerError
from dockeripv6mapper.kernel.container_routes import outgoing_address
from dockeripv6mapper.kernel.host import Kernel
from dockeripv6mapper.kernel.netlink import open_rtnetlink
from dockeripv6mapper.kernel.ruleset import observe_ruleset
from dockeripv6mapper.kernel.topology import observe_topology
from dockeripv6mapper.mapping.default_routes import Outgoing, needs_mark, other_ipv6_endpoints
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.planner import Plan, plan, plan_endpoint
from dockeripv6mapper.mapping.reachability import Reachability
from dockeripv6mapper.mapping.spared import spared
from dockeripv6mapper.mapping.state import has_address
from dockeripv6mapper.mapping.wanted_sysctls import FORWARDING, sysctl_keys
from dockeripv6mapper.model import (
    AddressMapping,
    Container,
    Decision,
    EngineRefusal,
    Host,
    ImageWanted,
    MarkWanted,
)
from dockeripv6mapper.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Observation:
    """The facts, what is desired, and the plan of a full pass."""

    facts: Facts
    desired: Desired
    plan: Plan
    sysctls: Mapping[str, str | None]
    unreadable: tuple[str, ...] = ()
    """A sentence for each container or network of the engine that cannot be read."""
    outgoing: Outgoing = field(default_factory=dict)
    """The source address of each mapped, running container's packets to the outside."""


def observe(settings: Settings) -> Observation:
    """Observe engine and host. Changes nothing. Raises `MapperError`."""
    client = Client(settings.docker_host)
    kernel = Kernel(settings.state_dir, settings.sysctl_dir)
    try:
        cache, faults = _observe_engine(client)
        refusals = RefusalRecord(settings.state_dir).read()
        facts, desired = _decide(client, cache, _observe_host(kernel), settings, refusals)
        _inspect_marks(client, cache, facts, desired)
        facts = replace(facts, sysctls=_read_sysctls(kernel, facts, settings), complete=cache.complete)
        journal = Journal(settings.state_dir)
        unfinished = {container_id for container_id in facts.containers if journal.has(container_id)}
        observed = _observation(facts, desired, settings, unfinished, faults)
        return replace(observed, outgoing=_observe_outgoing(client, facts, desired))
    finally:
        kernel.close()


def observe_host(settings: Settings) -> Observation:
    """Observe the host alone, where the engine cannot be reached. Raises `MapperError`."""
    kernel = Kernel(settings.state_dir, settings.sysctl_dir)
    try:
        facts = Facts({}, host=_observe_host(kernel))
        facts = replace(facts, sysctls=_read_sysctls(kernel, facts, settings))
        return _observation(facts, Desired(settings), settings)
    finally:
        kernel.close()


def judge_reachability(observed: Observation, settings: Settings) -> Reachability:
    """What gets in from outside, by the host's current rules. Needs CAP_NET_ADMIN; else all is unknown."""
    return Reachability(observe_ruleset(), observed.facts, settings)


def foresee(settings: Settings) -> Callable[[Container], Decision]:
    """Observe once; return a function that decides on a container still to be created, as the daemon would.

    Both raise `MapperError`.
    A container that has its name is left out. Needs no privilege beyond the engine's socket: proxy entries
    and ports have no part in a decision, and the record of refusals, which only root may read, is left out.
    """
    client = Client(settings.docker_host)
    with open_rtnetlink() as rtnetlink:
        topology = observe_topology(rtnetlink)
    host = Host(addresses=topology.addresses, next_hops=topology.next_hops)
    cache, _ = _observe_engine(client)
    present = cache.containers

    def decide(container: Container) -> Decision:
        others = {each.id: each for each in present.values() if each.name != container.name}
        cache.containers = {**others, container.id: container}
        cache.images[container.image] = {}
        _, desired = _decide(client, cache, host, settings)
        return desired.decision(container.id)

    return decide


def _observe_outgoing(client: Client, facts: Facts, desired: Desired) -> Outgoing:
    """The source address of each mapped, running container's packets to the outside."""
    outgoing: dict[str, IPv6Address | None] = {}
    ambiguous: dict[str, IPv6Address] = {}
    for container_id, container in facts.containers.items():
        decision = desired.decision(container_id)
        if not isinstance(decision, AddressMapping) or not has_address(container, decision):
            continue
        several = other_ipv6_endpoints(container, decision, facts)
        outgoing[container_id] = None if several else decision.address
        if several:
            ambiguous[container_id] = decision.address
    if not ambiguous or client.socket_path is None:
        # The processes of an engine that is reached over TCP may be on another host.
        return outgoing
    engine_pid = peer_process(client.socket_path)
    for container_id, address in ambiguous.items():
        with suppress(MapperError):
            pid = client.inspect(container_id)["State"].get("Pid") or 0
            outgoing[container_id] = outgoing_address(pid, address, engine_pid)
    return outgoing


def _observe_engine(client: Client) -> tuple[Cache, tuple[str, ...]]:
    """Fill a cache with lists. Also returns a sentence for each container or network that cannot be read."""
    cache = Cache()
    snapshot = client.snapshot()
    cache.routes_by_family = snapshot.routes_by_family
    cache.replace_networks(snapshot.networks)
    cache.replace_containers(snapshot.containers, cache.epoch)
    cache.replace_images(client.images())
    faults = {**snapshot.containers.faults}
    for container_id in snapshot.containers.unreadable:
        # What a list does not show may stand in an inspection.
        with suppress(NoAnswerError):
            if (found := client.container(container_id)) is not None:
                cache.put(found)
            else:
                cache.drop(container_id)
            del faults[container_id]
    return cache, (*faults.values(), *snapshot.networks.faults.values())


def _decide(
    client: Client,
    cache: Cache,
    host: Host,
    settings: Settings,
    refusals: Mapping[str, EngineRefusal] | None = None,
) -> tuple[Facts, Desired]:
    facts = Facts(
        *(cache.containers, cache.networks, cache.images, host),
        engine_refusals=refusals or {},
        routes_by_family=cache.routes_by_family,
    )
    desired = Desired(settings)
    desired.update(facts, list(facts.containers))
    _inspect_images(client, cache, facts, desired)
    return facts, desired


def _observation(
    facts: Facts,
    desired: Desired,
    settings: Settings,
    unfinished: AbstractSet[str] = frozenset(),
    faults: tuple[str, ...] = (),
) -> Observation:
    scope = desired.update(facts, facts.containers)
    left = spared(facts, desired.on_hold)
    todo = plan(desired, facts, settings, scope, whole=True, unfinished=unfinished, spared=left)
    return Observation(facts, desired, todo, facts.sysctls, faults)


def _read_sysctls(kernel: Kernel, facts: Facts, settings: Settings) -> Mapping[str, str | None]:
    """The sysctls that a plan depends upon, and whether the host forwards."""
    return kernel.read_sysctls(dict.fromkeys((FORWARDING, *sysctl_keys(facts, settings))))


def _observe_host(kernel: Kernel) -> Host:
    host = kernel.observe()
    try:
        if (seen := kernel.observe_firewall()) is None:
            return host
        return replace(host, openings=seen.openings, closed=seen.closed)
    except KernelRefusedError as error:
        log.warning("%s; assuming that no port is open", error)
        return host


def _inspect_images(client: Client, cache: Cache, facts: Facts, desired: Desired) -> None:
    """Inspect the images whose labels decisions wait for."""
    decisions = (desired.decision(container_id) for container_id in facts.containers)
    for image in {each.image for each in decisions if isinstance(each, ImageWanted)}:
        cache.images[image] = None
        with suppress(GoneError):
            cache.images[image] = client.image_labels(image)
    desired.update(facts, list(facts.containers))


def _inspect_marks(client: Client, cache: Cache, facts: Facts, desired: Desired) -> None:
    """Inspect the containers whose marks a decision or an action needs: lists do not show them."""
    for container_id, container in list(facts.containers.items()):
        decision = desired.decision(container_id)
        wanted = isinstance(decision, MarkWanted)
        wanted = wanted or (isinstance(decision, AddressMapping) and needs_mark(container, decision, facts))
        wanted = wanted or isinstance(plan_endpoint(container, decision, facts), Release | Vacate)
        if wanted and (seen := client.container(container_id)) is not None:
            cache.put(seen)
            desired.update(facts, [container_id])
