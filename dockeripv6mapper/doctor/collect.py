"""Collect: read what the checks need, once, and run them. The only module of doctor/ with I/O.

A read that fails stops none of the others: its error becomes a finding.
"""

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from dockeripv6mapper.doctor import (
    boot_checks,
    container_checks,
    default_route_checks,
    engine_checks,
    firewall_checks,
    host_checks,
    network_checks,
)
from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding
from dockeripv6mapper.engine import config
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine_config import EngineInfo
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.firewall_rules import ENGINE_CHAIN, FORWARD, leads_to_engine
from dockeripv6mapper.kernel.boot_sysctls import read_boot_sysctls
from dockeripv6mapper.kernel.commands import BACKENDS, backends
from dockeripv6mapper.kernel.firewall import OtherRules, observe_nftables
from dockeripv6mapper.kernel.ip6tables import observe_chains
from dockeripv6mapper.kernel.netlink import capabilities
from dockeripv6mapper.kernel.requirements import require_proxying
from dockeripv6mapper.kernel.ruleset import observe_ruleset
from dockeripv6mapper.observation import observe, observe_host
from dockeripv6mapper.settings import Settings

T = TypeVar("T")


def run_checks(settings: Settings) -> list[Finding]:
    """The findings of all checks. Raises `MapperError` where not even the host's network can be read."""
    facts = collect_facts(settings)
    checks: Iterable[Callable[[DoctorFacts], Iterable[Finding]]] = (
        engine_checks.check,
        host_checks.check,
        boot_checks.check,
        network_checks.check,
        firewall_checks.check,
        container_checks.check,
        default_route_checks.check,
    )
    return [finding for check in checks for finding in check(facts)]


def collect_facts(settings: Settings) -> DoctorFacts:
    """Read engine, host and kernel. Raises `MapperError` where not even the host's network can be read."""
    client = Client(settings.docker_host)
    errors: list[MapperError] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except MapperError as error:
            errors.append(error)
            return None

    if "CAP_NET_ADMIN" in capabilities():
        attempt(require_proxying)
    engine_info = attempt(partial(config.engine_info, client))
    network_configs = attempt(partial(config.network_configs, client)) if engine_info else None
    container_configs = attempt(partial(config.container_configs, client)) if engine_info else None
    chains = {backend: attempt(partial(observe_chains, backend)) for backend in BACKENDS}
    others = attempt(observe_nftables) or OtherRules()
    engine_rules = attempt(partial(_engine_rules, engine_info)) if engine_info else None
    # Without an engine, its error is in `errors` already.
    observation = observe(settings) if engine_info else observe_host(settings)
    return DoctorFacts(
        settings=settings,
        system=observation.facts,
        desired=observation.desired,
        unreadable=observation.unreadable,
        outgoing=observation.outgoing,
        engine=engine_info,
        network_configs=network_configs or {},
        container_configs=container_configs or {},
        chains={backend: read for backend, read in chains.items() if read is not None},
        ruleset=observe_ruleset(),
        dropping_chains=others.dropping_chains,
        engine_accepted_marks=others.engine_accepted_marks,
        mark_rules=others.mark_rules,
        engine_rules=engine_rules,
        boot_sysctls=read_boot_sysctls(),
        tools=frozenset(tool for tool in firewall_checks.NEEDED_TOOLS if shutil.which(tool)),
        capabilities=capabilities(),
        errors=tuple(errors),
    )


def _engine_rules(engine: EngineInfo) -> bool | None:
    """See `DoctorFacts.engine_rules`. The engine keeps the backend that was the default when it started."""
    if engine.filters_with_nftables:
        return None
    listed = [chains for backend in backends() if (chains := observe_chains(backend)) is not None]
    with_engine = [chains for chains in listed if ENGINE_CHAIN in chains]
    if with_engine:
        return any(FORWARD in chains and leads_to_engine(chains[FORWARD]) for chains in with_engine)
    return False if listed and engine.ip6tables else None
