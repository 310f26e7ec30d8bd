"""Fixes: commands to paste into root's shell. Every name in them is quoted, since a user may have chosen it.

No fix may leave the host worse than before: a network that cannot be created in the new way is created as it
was, and a comment ahead of the commands names what they delete for good.
"""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import chain, count

from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.engine.endpoint_settings import ADDED
from dockeripv6mapper.engine.translate import MARK
from dockeripv6mapper.engine_config import DEFAULT_IPAM, ContainerConfig, EndpointConfig, NetworkConfig, Pool
from dockeripv6mapper.mapping.default_routes import MAPPER_PRIORITY
from dockeripv6mapper.mapping.labels import NETWORK, SCHEME, SWARM_TASK_ID
from dockeripv6mapper.mapping.uplinks import uplinks
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.settings import Scheme

GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv6"
KNOWS_GATEWAY_MODES = (1, 48)
"""API of engine 28, which filters by gateway mode and can create a network without IPv4."""
PROGRAM = "DockerIPV6Mapper.py"
NETWORK_PREFIX = 80
"""Prefix length of a proposed subnet, as in the older program's manual: a suffix of three hextets fits."""
MAX_PROPOSALS = 1 << 16
"""Subnets tried in each prefix: all /80 of a /64."""
PLACEHOLDER = f"PREFIX::/{NETWORK_PREFIX}"
FILL_IN = "# with PREFIX replaced by one that is routed to this host:\n"

Change = Callable[[NetworkConfig], NetworkConfig]


def create(facts: DoctorFacts, name: str) -> str:
    """Create a network that containers can be mapped into."""
    config = NetworkConfig(name, "bridge", (_proposed_pool(facts),))
    command = network_command(with_advice(config, facts), facts)
    return f"{FILL_IN}{command}" if PLACEHOLDER in command else command


def create_other(facts: DoctorFacts, wanted: str, containers: Iterable[Container]) -> str:
    """Create another network, called `wanted` or `wanted2` and so on; run the containers again with it."""
    taken = {network.name for network in facts.system.networks}
    names = chain([wanted], (f"{wanted}{number}" for number in count(2)))
    name = next(each for each in names if each not in taken)
    again = run_again(facts, containers, f"with --label {quoted(f'{NETWORK}={name}')}")
    return "\n".join(filter(None, (create(facts, name), again)))


def recreate(facts: DoctorFacts, network: Network, change: Change) -> str:
    """Remove a network and create it again, changed; if the engine refuses that, as it was.

    Its containers are stopped meanwhile, and attached again: they refer to the old network by its ID, without
    which the engine would not start them. If it is unknown how the network was created, another one is
    created beside it.
    """
    config = facts.network_configs.get(network.id)
    if config is None:
        return create_other(facts, network.name, facts.containers_naming(network))
    changed = change(config)
    new, old = network_command(changed, facts), network_command(config, facts)
    lines = [f"docker network rm {operands([network.name])}", f"{new} || {old}"]
    attached, running = facts.attached_to(network), facts.running_on(network)
    removed = [each for each in running if facts.is_auto_removed(each)]
    if running:
        lines.insert(0, f"docker stop {names_of(running)}")
    kept_pools = [pool for pool in changed.pools if pool in config.pools]
    lines += [_connect(facts, network, kept_pools, each) for each in attached if each not in removed]
    if stopped := [each for each in running if each not in removed]:
        lines.append(f"docker start {names_of(stopped)}")
    if removed:
        lines.insert(
            0, f"# run with --rm, so removed once stopped; run again afterwards: {names_of(removed)}"
        )
    if PLACEHOLDER in new:
        lines.insert(0, FILL_IN.rstrip())
    return "\n".join(lines)


def _connect(
    facts: DoctorFacts,
    network: Network,
    pools: list[Pool],
    container: Container,
    priority: int | None = None,
) -> str:
    """Attach a container as it was, with those of its addresses that are in `pools`.

    `priority`: another gateway priority than it had.
    """
    endpoint = facts.system.networks.endpoint(container, network.id, network.name)
    endpoints = facts.container_configs.get(container.id, ContainerConfig()).endpoints
    config = endpoints.get(endpoint.network if endpoint else "", EndpointConfig())
    priority = config.priority if priority is None else priority
    words = ["docker", "network", "connect"]
    words += ["--gw-priority", str(priority)] if priority else []
    for option, address in (("--ip", config.ipv4), ("--ip6", config.ipv6)):
        if address and any(address in pool for pool in pools):
            words += [option, address]
    words += [word for alias in config.aliases for word in ("--alias", alias)]
    words += [word for link in config.links for word in ("--link", link)]
    words += _pairs("--driver-opt", config.options.items())
    return f"{' '.join(map(quoted, words))} {operands([network.name, container.name])}"


def prioritise(
    facts: DoctorFacts, network: Network, container: Container, priority: int = MAPPER_PRIORITY
) -> str:
    """Give a container's endpoint a gateway priority.

    An endpoint that the mapper added is detached and attached again. A running daemon may attach it first. On
    a user's own endpoint this would lose the user's settings: its container is run again instead.
    """
    endpoint = facts.system.networks.endpoint(container, network.id, network.name)
    listed_as = endpoint.network if endpoint else network.name
    config = facts.container_configs.get(container.id, ContainerConfig()).endpoints.get(listed_as)
    pools = facts.network_configs.get(network.id)
    if config is None or pools is None or config.options.get(MARK) != ADDED:
        option = f"--network name={network.name},gw-priority={priority}"
        return run_again(facts, [container], f"with {option}")
    return "\n".join(
        (
            f"docker network disconnect {operands([listed_as, container.name])}",
            "# fails if the daemon has already connected it, with the same priority:",
            f"{_connect(facts, network, list(pools.pools), container, priority)} || true",
        )
    )


def with_advice(config: NetworkConfig, facts: DoctorFacts, network: Network | None = None) -> NetworkConfig:
    """The same network with gateway mode `routed`, and without IPv4 unless a container relies on it.

    Unchanged on engines before 28, which have no gateway modes.
    """
    if config.driver != "bridge" or not knows_gateway_modes(facts):
        return config
    routed = replace(config, options={**config.options, GATEWAY_MODE: "routed"})
    return routed if network and facts.relying_on_ipv4(network) else without_ipv4(routed)


def without_ipv4(config: NetworkConfig) -> NetworkConfig:
    """The same network without IPv4."""
    return replace(config, ipv4=False, pools=tuple(pool for pool in config.pools if pool.is_ipv6))


def without_ipv6(config: NetworkConfig) -> NetworkConfig:
    """The same network without IPv6."""
    return replace(config, ipv6=False, pools=tuple(pool for pool in config.pools if not pool.is_ipv6))


def with_ipv6(config: NetworkConfig, facts: DoctorFacts) -> NetworkConfig:
    """The same network with a proposed IPv6 subnet added."""
    return replace(config, ipv6=True, pools=(*config.pools, _proposed_pool(facts)))


def with_another_subnet(config: NetworkConfig, facts: DoctorFacts) -> NetworkConfig:
    """The same network with its IPv6 subnets replaced by a proposed one."""
    others = tuple(pool for pool in config.pools if not pool.is_ipv6)
    return replace(config, pools=(*others, _proposed_pool(facts)))


def with_scheme(config: NetworkConfig, scheme: Scheme) -> NetworkConfig:
    """The same network with a label for the scheme."""
    return replace(config, labels={**config.labels, SCHEME: scheme.value})


def network_command(config: NetworkConfig, facts: DoctorFacts) -> str:
    """The `docker network create` command that creates a network."""
    words = ["docker", "network", "create"]
    if config.driver != "bridge":
        words += ["--driver", config.driver]
    if config.ipv6:
        words.append("--ipv6")
    if not config.ipv4 and knows_gateway_modes(facts):
        words.append("--ipv4=false")
    words += ["--internal"] * config.internal + ["--attachable"] * config.attachable
    if config.ipam_driver != DEFAULT_IPAM:
        words += ["--ipam-driver", config.ipam_driver]
    for pool in config.pools:
        words += ["--subnet", pool.subnet]
        words += ["--ip-range", pool.ip_range] if pool.ip_range else []
        words += ["--gateway", pool.gateway] if pool.gateway else []
        words += _pairs("--aux-address", pool.auxiliary.items())
    words += _pairs("--ipam-opt", config.ipam_options.items())
    words += _pairs("-o", config.options.items())
    words += _pairs("--label", config.labels.items())
    return f"{' '.join(map(quoted, words))} {operands([config.name])}"


def _pairs(option: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [word for key, value in pairs for word in (option, f"{key}={value}")]


def run_again(facts: DoctorFacts, containers: Iterable[Container], change: str) -> str:
    """Remove containers and run them again with a change: labels cannot be edited. "" for no containers."""
    tasks, others = list[Container](), list[Container]()
    for container in containers:
        (tasks if SWARM_TASK_ID in container.labels else others).append(container)
    services = sorted({task.name.rsplit(".", 2)[0] for task in tasks})
    update = "docker service update --container-label-add …"
    lines = [f"# a Swarm service; run its tasks again {change}: {update} {quoted(each)}" for each in services]
    if others:
        to_remove = [each for each in others if not facts.is_auto_removed(each)]
        remove = f" && docker rm {names_of(to_remove)}" if to_remove else ""
        lines.append("# this deletes the containers' files outside of volumes (docker cp copies them):")
        lines.append(f"docker stop {names_of(others)}{remove}")
        lines.append(f"# then run again, {change}")
    return "\n".join(lines)


def with_options(options: str) -> str:
    """Run `doctor` again with other options, which the daemon needs as well."""
    return f"{PROGRAM} {options} doctor\n# and give the daemon the same: {options}"


def names_of(containers: Iterable[Container]) -> str:
    """The containers' names as operands of a command."""
    return operands(container.name for container in containers)


def operands(names: Iterable[str]) -> str:
    """Quoted names as the last words of a command. After `--`, if one could be read as an option."""
    words = list(names)
    ending = ["--"] if any(each.startswith("-") for each in words) else []
    return " ".join(map(quoted, ending + words))


def quoted(text: str) -> str:
    """A text as one shell word on one line: a second line would be read as a command when pasted."""
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def _escaped(character: str) -> str:
    """A character as it stands inside `$'…'` (bash(1), QUOTING)."""
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass"))


def knows_gateway_modes(facts: DoctorFacts) -> bool:
    """Whether the engine is 28 or later."""
    engine = facts.engine
    return engine is not None and engine.api >= KNOWS_GATEWAY_MODES


def _proposed_pool(facts: DoctorFacts) -> Pool:
    subnet = free_subnet(facts)
    return Pool(str(subnet) if subnet else PLACEHOLDER)


def free_subnet(facts: DoctorFacts) -> IPv6Network | None:
    """An unused subnet inside an uplink's on-link prefix; None if there is no room for one."""
    system = facts.system
    names = {link.name for link in uplinks(system, facts.settings)}
    taken = [subnet for network in system.networks for subnet in network.subnets]
    taken += [prefix for prefix, link in system.host.on_link if link not in names]
    own = system.host.addresses | system.host.next_hops
    for prefix, link in sorted(system.host.on_link):
        if link not in names or prefix.prefixlen >= NETWORK_PREFIX:
            continue
        for number in range(1, min(MAX_PROPOSALS, 1 << (NETWORK_PREFIX - prefix.prefixlen))):
            start = int(prefix.network_address) | number << (IPv6Address(0).max_prefixlen - NETWORK_PREFIX)
            subnet = IPv6Network((start, NETWORK_PREFIX))
            if not any(subnet.overlaps(each) for each in taken) and not any(each in subnet for each in own):
                return subnet
    return None
