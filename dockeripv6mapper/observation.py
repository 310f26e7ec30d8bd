"""One look at engine and kernel, for the commands that look once.

It is the daemon's own observe → desired → plan, so the two never disagree.
"""

import logging
from collections.abc import Mapping as MappingOf
from contextlib import suppress
from dataclasses import dataclass, replace

from dockeripv6mapper.actions import Release
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.inventory import Inventory
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.errors import GoneError, KernelRefusedError
from dockeripv6mapper.kernel.host import Kernel
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.planner import Plan, plan_all, plan_endpoint, sysctls_for
from dockeripv6mapper.model import Host, ImageWanted
from dockeripv6mapper.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Observation:
    """What there is, what is wanted, and what one pass would do about it."""

    facts: Facts
    desired: Desired
    plan: Plan
    sysctls: MappingOf[str, str | None]


def observe(settings: Settings) -> Observation:
    """Look at everything once. Changes nothing. Raises `MapperError`."""
    client = Client(settings.docker_host)
    kernel = Kernel(settings.state_dir)
    try:
        inventory = Inventory()
        snapshot = client.snapshot()
        inventory.replace_networks(snapshot.networks)
        inventory.replace_containers(snapshot.containers, inventory.epoch)
        facts = Facts(inventory.containers, inventory.networks, inventory.images, _observe_host(kernel))
        desired = Desired(settings)
        desired.update(facts, list(facts.containers))
        _look_at_images(client, inventory, facts, desired)
        _look_at_marks(client, inventory, facts, desired)
        sysctls = kernel.read_sysctls([key for key, *_ in sysctls_for(desired, facts, settings)])
        journal = Journal(settings.state_dir)
        unfinished = {container_id for container_id in facts.containers if journal.has(container_id)}
        plan = plan_all(desired, facts, sysctls, settings, unfinished)
        return Observation(facts, desired, plan, sysctls)
    finally:
        kernel.close()


def observe_host(settings: Settings) -> Observation:
    """Look at the host alone, as where the engine cannot be spoken to. Raises `MapperError`."""
    kernel = Kernel(settings.state_dir)
    try:
        facts, desired = Facts({}, host=_observe_host(kernel)), Desired(settings)
        sysctls = kernel.read_sysctls([key for key, *_ in sysctls_for(desired, facts, settings)])
        return Observation(facts, desired, plan_all(desired, facts, sysctls, settings), sysctls)
    finally:
        kernel.close()


def _observe_host(kernel: Kernel) -> Host:
    host = kernel.observe()
    try:
        return replace(host, openings=kernel.observe_firewall().openings)
    except KernelRefusedError as error:
        log.warning("%s; taking no port to be open", error)
        return host


def _look_at_images(client: Client, inventory: Inventory, facts: Facts, desired: Desired) -> None:
    """Fetch what decisions wait for: the labels of images."""
    decisions = (desired.decision(container_id) for container_id in facts.containers)
    for image in {each.image for each in decisions if isinstance(each, ImageWanted)}:
        inventory.images[image] = None
        with suppress(GoneError):
            inventory.images[image] = client.image_labels(image)
    desired.update(facts, list(facts.containers))


def _look_at_marks(client: Client, inventory: Inventory, facts: Facts, desired: Desired) -> None:
    """Find out whether what would be taken back is ours to take, which a list does not show."""
    for container_id, container in list(facts.containers.items()):
        action = plan_endpoint(container, desired.decision(container_id), facts)
        if isinstance(action, Release) and (seen := client.container(container_id)) is not None:
            inventory.put(seen)
