"""Collect: everything that the checks look at is seen once, and what could not be seen is said.

Where something cannot be looked at, that is said, and everything else is looked at all the same.
"""

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from dockeripv6mapper.doctor import containers, engine, firewall, host, networks
from dockeripv6mapper.doctor.facts import Examined, Surroundings
from dockeripv6mapper.doctor.finding import Finding
from dockeripv6mapper.engine import config
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.kernel import filtering
from dockeripv6mapper.kernel.netlink import capabilities
from dockeripv6mapper.observation import observe, observe_host
from dockeripv6mapper.settings import Settings

T = TypeVar("T")


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, and judge it. Raises `MapperError` where not even the kernel can be spoken to."""
    surroundings = survey(Client(settings.docker_host))
    # What keeps the engine from being spoken to was seen by the survey, and is a finding.
    seen = observe(settings) if surroundings.engine else observe_host(settings)
    examined = Examined(settings, surroundings, seen.facts, seen.desired, seen.sysctls, seen.unreadable)
    rooms: Iterable[Callable[[Examined], Iterable[Finding]]] = (
        engine.check,
        host.check,
        networks.check,
        firewall.check,
        containers.check,
    )
    return [finding for check in rooms for finding in check(examined)]


def survey(client: Client) -> Surroundings:
    """Look at what no pass needs; what of it could not be seen is said in what is returned."""
    unseen: list[MapperError] = []

    def seen(look: Callable[[], T]) -> T | None:
        try:
            return look()
        except MapperError as error:
            unseen.append(error)
            return None

    about = seen(partial(config.engine_info, client))
    recipes = seen(partial(config.network_configs, client)) if about else None
    tenants = seen(partial(config.container_configs, client)) if about else None
    chains = {each: seen(partial(filtering.observe_chains, each)) for each in filtering.BACKENDS}
    nftables = seen(filtering.observe_nftables)
    dropping, engine_accepts = nftables or ((), frozenset[int]())
    return Surroundings(
        engine=about,
        recipes=recipes or {},
        tenants=tenants or {},
        chains={backend: found for backend, found in chains.items() if found is not None},
        dropping=dropping,
        engine_accepts=engine_accepts,
        tools=frozenset(tool for tool in firewall.NEEDED if shutil.which(tool)),
        capabilities=capabilities(),
        unseen=tuple(unseen),
    )
