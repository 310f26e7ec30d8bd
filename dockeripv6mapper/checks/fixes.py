"""Fixes: commands to paste into root's shell. Every name in them may be anybody's, and is quoted."""

import shlex
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import chain, count

from dockeripv6mapper.checks.examined import Examined
from dockeripv6mapper.mapping.desired import uplinks
from dockeripv6mapper.mapping.labels import NETWORK
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.surroundings import Pool, Recipe

GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv6"
KNOWS_GATEWAY_MODES = (1, 48)
"""API of engine 28, which filters by gateway mode, and can make a network without IPv4."""
PROGRAM = "DockerIPV6Mapper.py"
NETWORK_PREFIX = 80
"""Length of a proposed subnet's prefix: the older manual's, and room for the whole of a suffix."""
PROPOSALS = 1 << 16
"""Subnets of that length in a /64."""


def create(examined: Examined, name: str) -> str:
    """Make a network that can be mapped into."""
    recipe = Recipe(name, "bridge", (_proposed_pool(examined),))
    return network_command(advised(recipe, examined), examined)


def create_other(examined: Examined, wanted: str, containers: Iterable[Container]) -> str:
    """Make another network, of that name or one like it, for containers that name one that will not do."""
    taken = {network.name for network in examined.facts.networks}
    names = chain([wanted], (f"{wanted}{number}" for number in count(2)))
    name = next(each for each in names if each not in taken)
    again = run_again(containers, f"with --label {NETWORK}={name}")
    return f"{create(examined, name)}\n{again}"


def recreate(examined: Examined, network: Network, recipe: Recipe) -> str:
    """Make a network again by another recipe, with its containers stopped meanwhile."""
    running = [shlex.quote(container.name) for container in examined.running_on(network)]
    lines = [
        f"docker network rm {shlex.quote(network.name)}",
        network_command(recipe, examined),
    ]
    if running:
        lines = [f"docker stop {' '.join(running)}", *lines, f"docker start {' '.join(running)}"]
    return "\n".join(lines)


def advised(recipe: Recipe, examined: Examined, network: Network | None = None) -> Recipe:
    """The same network, such that things can come in; without IPv4, if none but mapped containers run there.

    Where the engine knows no gateway modes, it needs none.
    """
    if recipe.driver != "bridge" or not knows_gateway_modes(examined):
        return recipe
    routed = replace(recipe, options={**recipe.options, GATEWAY_MODE: "routed"})
    others = network and [
        each for each in examined.running_on(network) if each not in examined.naming(network)
    ]
    return routed if others else without_ipv4(routed)


def without_ipv4(recipe: Recipe) -> Recipe:
    """The same network, for IPv6 alone."""
    return replace(recipe, ipv4=False, pools=tuple(pool for pool in recipe.pools if pool.is_ipv6))


def with_ipv6(recipe: Recipe, examined: Examined) -> Recipe:
    """The same network with an IPv6 subnet."""
    return replace(recipe, ipv6=True, pools=(*recipe.pools, _proposed_pool(examined)))


def with_another_subnet(recipe: Recipe, examined: Examined) -> Recipe:
    """The same network, with its IPv6 subnets replaced by one that is free."""
    others = tuple(pool for pool in recipe.pools if not pool.is_ipv6)
    return replace(recipe, pools=(*others, _proposed_pool(examined)))


def network_command(recipe: Recipe, examined: Examined) -> str:
    """The `docker network create` of a recipe."""
    words = ["docker", "network", "create"]
    if recipe.driver != "bridge":
        words += ["--driver", recipe.driver]
    if recipe.ipv6:
        words.append("--ipv6")
    if not recipe.ipv4 and knows_gateway_modes(examined):
        words.append("--ipv4=false")
    words += ["--internal"] * recipe.internal + ["--attachable"] * recipe.attachable
    for pool in recipe.pools:
        words += ["--subnet", pool.subnet]
        words += ["--ip-range", pool.ip_range] if pool.ip_range else []
        words += ["--gateway", pool.gateway] if pool.gateway else []
        for name, address in pool.auxiliary.items():
            words += ["--aux-address", f"{name}={address}"]
    for key, value in recipe.options.items():
        words += ["-o", f"{key}={value}"]
    for key, value in recipe.labels.items():
        words += ["--label", f"{key}={value}"]
    return shlex.join([*words, recipe.name])


def run_again(containers: Iterable[Container], with_what: str) -> str:
    """Make containers again, whose labels nobody can change."""
    names = " ".join(shlex.quote(container.name) for container in containers)
    return f"docker stop {names} && docker rm {names}\n# then run it again, {with_what}"


def quoted(text: str) -> str:
    """Anybody's text as one word of a command."""
    return shlex.quote(text)


def knows_gateway_modes(examined: Examined) -> bool:
    """Whether the engine is 28 or later."""
    engine = examined.surroundings.engine
    return engine is not None and engine.api >= KNOWS_GATEWAY_MODES


def _proposed_pool(examined: Examined) -> Pool:
    found = free_subnet(examined)
    return Pool(str(found) if found else f"PREFIX::/{NETWORK_PREFIX}")


def free_subnet(examined: Examined) -> IPv6Network | None:
    """A subnet inside an uplink's on-link prefix that nobody uses; None where there is no room for one."""
    facts, names = examined.facts, {link.name for link in uplinks(examined.facts, examined.settings)}
    taken = [subnet for network in facts.networks for subnet in network.subnets]
    taken += [prefix for prefix, link in facts.host.on_link if link not in names]
    own = facts.host.addresses | facts.host.next_hops
    for prefix, link in sorted(facts.host.on_link):
        if link not in names or prefix.prefixlen >= NETWORK_PREFIX:
            continue
        for number in range(1, min(PROPOSALS, 1 << (NETWORK_PREFIX - prefix.prefixlen))):
            start = int(prefix.network_address) | number << (IPv6Address(0).max_prefixlen - NETWORK_PREFIX)
            subnet = IPv6Network((start, NETWORK_PREFIX))
            if not any(subnet.overlaps(each) for each in taken) and not any(each in subnet for each in own):
                return subnet
    return None
