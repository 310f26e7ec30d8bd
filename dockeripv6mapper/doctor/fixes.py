"""Fixes: commands to paste into root's shell. Every name in them may be anybody's, and is quoted.

No fix may leave things worse than they were: a network that cannot be made anew is made as it was, and what
is lost for good is said before it is.
"""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import chain, count

from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.engine_config import DEFAULT_IPAM, ContainerConfig, EndpointConfig, NetworkConfig, Pool
from dockeripv6mapper.mapping.labels import NETWORK, SCHEME, SWARM_TASK_ID
from dockeripv6mapper.mapping.uplinks import uplinks
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.settings import Scheme

GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv6"
KNOWS_GATEWAY_MODES = (1, 48)
"""API of engine 28, which filters by gateway mode, and can make a network without IPv4."""
PROGRAM = "DockerIPV6Mapper.py"
NETWORK_PREFIX = 80
"""Length of a proposed subnet's prefix: the older manual's, and room for the whole of a suffix."""
PROPOSALS = 1 << 16
"""Subnets of that length in a /64."""
PLACEHOLDER = f"PREFIX::/{NETWORK_PREFIX}"
FILL_IN = "# with PREFIX replaced by one that is routed to this host:\n"

Change = Callable[[NetworkConfig], NetworkConfig]


def create(facts: DoctorFacts, name: str) -> str:
    """Make a network that can be mapped into."""
    config = NetworkConfig(name, "bridge", (_proposed_pool(facts),))
    command = network_command(advised(config, facts), facts)
    return f"{FILL_IN}{command}" if PLACEHOLDER in command else command


def create_other(facts: DoctorFacts, wanted: str, containers: Iterable[Container]) -> str:
    """Make another network, of that name or one like it, for containers that name one that will not do."""
    taken = {network.name for network in facts.system.networks}
    names = chain([wanted], (f"{wanted}{number}" for number in count(2)))
    name = next(each for each in names if each not in taken)
    again = run_again(facts, containers, f"with --label {quoted(f'{NETWORK}={name}')}")
    return "\n".join(filter(None, (create(facts, name), again)))


def recreate(facts: DoctorFacts, network: Network, change: Change) -> str:
    """Make a network again in another way, or else as it was, with its containers stopped meanwhile.

    They are attached anew, since what they know the network by is its ID: the engine would not start them.
    Where it is not known how the network was made, another is made besides it.
    """
    config = facts.network_configs.get(network.id)
    if config is None:
        return create_other(facts, network.name, facts.containers_naming(network))
    changed = change(config)
    new, old = network_command(changed, facts), network_command(config, facts)
    lines = [f"docker network rm {operands([network.name])}", f"{new} || {old}"]
    attached, running = facts.attached_to(network), facts.running_on(network)
    lost = [each for each in running if facts.is_auto_removed(each)]
    if running:
        lines.insert(0, f"docker stop {names_of(running)}")
    kept = [pool for pool in changed.pools if pool in config.pools]
    lines += [_connect(facts, network, kept, each) for each in attached if each not in lost]
    if lasting := [each for each in running if each not in lost]:
        lines.append(f"docker start {names_of(lasting)}")
    if lost:
        lines.insert(0, f"# run with --rm, and gone once stopped; run again afterwards: {names_of(lost)}")
    if PLACEHOLDER in new:
        lines.insert(0, FILL_IN.rstrip())
    return "\n".join(lines)


def _connect(facts: DoctorFacts, network: Network, kept: list[Pool], container: Container) -> str:
    """Attach a container as it was, with those of its addresses that the network keeps."""
    endpoint = facts.system.networks.endpoint(container, network.id, network.name)
    tenant = facts.container_configs.get(container.id, ContainerConfig())
    attachment = tenant.endpoints.get(endpoint.network if endpoint else "", EndpointConfig())
    words = ["docker", "network", "connect"]
    for option, address in (("--ip", attachment.ipv4), ("--ip6", attachment.ipv6)):
        if address and any(address in pool for pool in kept):
            words += [option, address]
    words += [word for alias in attachment.aliases for word in ("--alias", alias)]
    words += [word for link in attachment.links for word in ("--link", link)]
    words += _pairs("--driver-opt", attachment.options.items())
    words += ["--gw-priority", str(attachment.priority)] if attachment.priority else []
    return f"{' '.join(map(quoted, words))} {operands([network.name, container.name])}"


def advised(config: NetworkConfig, facts: DoctorFacts, network: Network | None = None) -> NetworkConfig:
    """The same network, such that things can come in; without IPv4, where nobody would miss it.

    Where the engine knows no gateway modes, it needs none.
    """
    if config.driver != "bridge" or not knows_gateway_modes(facts):
        return config
    routed = replace(config, options={**config.options, GATEWAY_MODE: "routed"})
    return routed if network and facts.relying_on_ipv4(network) else without_ipv4(routed)


def without_ipv4(config: NetworkConfig) -> NetworkConfig:
    """The same network, for IPv6 alone."""
    return replace(config, ipv4=False, pools=tuple(pool for pool in config.pools if pool.is_ipv6))


def with_ipv6(config: NetworkConfig, facts: DoctorFacts) -> NetworkConfig:
    """The same network with an IPv6 subnet."""
    return replace(config, ipv6=True, pools=(*config.pools, _proposed_pool(facts)))


def with_another_subnet(config: NetworkConfig, facts: DoctorFacts) -> NetworkConfig:
    """The same network, with its IPv6 subnets replaced by one that is free."""
    others = tuple(pool for pool in config.pools if not pool.is_ipv6)
    return replace(config, pools=(*others, _proposed_pool(facts)))


def with_scheme(config: NetworkConfig, scheme: Scheme) -> NetworkConfig:
    """The same network, with that scheme by label."""
    return replace(config, labels={**config.labels, SCHEME: scheme.value})


def network_command(config: NetworkConfig, facts: DoctorFacts) -> str:
    """The `docker network create` of a config."""
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


def run_again(facts: DoctorFacts, containers: Iterable[Container], with_what: str) -> str:
    """Make containers again, whose labels nobody can change; "" where there are none."""
    tasks, own = list[Container](), list[Container]()
    for container in containers:
        (tasks if SWARM_TASK_ID in container.labels else own).append(container)
    services = sorted({task.name.rsplit(".", 2)[0] for task in tasks})
    update = "docker service update --container-label-add …"
    lines = [f"# of a Swarm service, {with_what}: {update} {quoted(each)}" for each in services]
    if own:
        lasting = [each for each in own if not facts.is_auto_removed(each)]
        remove = f" && docker rm {names_of(lasting)}" if lasting else ""
        lines.append("# what these have written outside of volumes is lost (docker cp saves it):")
        lines.append(f"docker stop {names_of(own)}{remove}")
        lines.append(f"# then run again, {with_what}")
    return "\n".join(lines)


def with_options(options: str) -> str:
    """Look again with other options, which the daemon is to have as well."""
    return f"{PROGRAM} {options} doctor\n# and give the daemon the same: {options}"


def names_of(containers: Iterable[Container]) -> str:
    """Containers as a command names them."""
    return operands(container.name for container in containers)


def operands(names: Iterable[str]) -> str:
    """Names as the last words of a command, which takes none of them for an option."""
    words = list(names)
    ending = ["--"] if any(each.startswith("-") for each in words) else []
    return " ".join(map(quoted, ending + words))


def quoted(text: str) -> str:
    """Anybody's text as one word of a command, and on one line: else its second line would be a command."""
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def _escaped(character: str) -> str:
    """A character inside `$'…'` (bash(1), QUOTING)."""
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
    found = free_subnet(facts)
    return Pool(str(found) if found else PLACEHOLDER)


def free_subnet(facts: DoctorFacts) -> IPv6Network | None:
    """A subnet inside an uplink's on-link prefix that nobody uses; None where there is no room for one."""
    system = facts.system
    names = {link.name for link in uplinks(system, facts.settings)}
    taken = [subnet for network in system.networks for subnet in network.subnets]
    taken += [prefix for prefix, link in system.host.on_link if link not in names]
    own = system.host.addresses | system.host.next_hops
    for prefix, link in sorted(system.host.on_link):
        if link not in names or prefix.prefixlen >= NETWORK_PREFIX:
            continue
        for number in range(1, min(PROPOSALS, 1 << (NETWORK_PREFIX - prefix.prefixlen))):
            start = int(prefix.network_address) | number << (IPv6Address(0).max_prefixlen - NETWORK_PREFIX)
            subnet = IPv6Network((start, NETWORK_PREFIX))
            if not any(subnet.overlaps(each) for each in taken) and not any(each in subnet for each in own):
                return subnet
    return None
