"""Commands to paste: what they keep, what they delete, and the comments that announce it."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.doctor import fixes
from dockeripv6mapper.engine_config import ContainerConfig, EndpointConfig, NetworkConfig, Pool
from dockeripv6mapper.model import Container, Network
from tests.unit import builders
from tests.unit.builders import HE_IPV6_ID, facts
from tests.unit.doctor.builders import (
    CONFIG,
    ENGINE_20_10,
    HE_IPV6,
    ON_LINK,
    PREFIX,
    doctor_facts,
    mapped,
)

WEB = mapped()
EVERYTHING = NetworkConfig(
    name="it's; reboot",
    driver="macvlan",
    pools=(
        Pool("192.0.2.0/24", "192.0.2.1", "192.0.2.128/25", {"printer": "192.0.2.9"}),
        Pool("2001:db8::/80"),
    ),
    internal=True,
    attachable=True,
    options={"parent": "eth0"},
    labels={"ipv6.mapper.scheme": "wide", "say": '"$(reboot)"'},
    ipam_driver="other",
    ipam_options={"pool": "1"},
)


def same(config: NetworkConfig) -> NetworkConfig:
    """No change."""
    return config


def recreate(
    *containers: Container,
    network: Network = HE_IPV6,
    container_configs: dict[str, ContainerConfig] | None = None,
) -> list[str]:
    """The lines of the fix that creates a network again as it was."""
    all_facts = doctor_facts(
        facts(*containers, networks=(network,)), container_configs=container_configs or {}
    )
    return fixes.recreate(all_facts, network, same).split("\n")


def test_the_command_for_a_network_has_all_of_its_options() -> None:
    """Every option of `docker network create`, each word quoted."""
    assert fixes.network_command(EVERYTHING, doctor_facts(facts())) == (
        "docker network create --driver macvlan --ipv6 --internal --attachable --ipam-driver other "
        "--subnet 192.0.2.0/24 --ip-range 192.0.2.128/25 --gateway 192.0.2.1 --aux-address printer=192.0.2.9 "
        "--subnet 2001:db8::/80 --ipam-opt pool=1 -o parent=eth0 --label ipv6.mapper.scheme=wide "
        """--label 'say="$(reboot)"' 'it'"'"'s; reboot'"""
    )


def test_ipv4_is_switched_off_only_on_engines_that_can() -> None:
    """Engines before 28 do not have the option `--ipv4`."""
    command = fixes.network_command(CONFIG, doctor_facts(facts()))
    assert "--ipv4=false" in command
    assert "--ipv4=false" not in fixes.network_command(CONFIG, doctor_facts(facts(), engine=ENGINE_20_10))


def test_if_the_new_network_is_refused_the_old_one_is_created_again() -> None:
    """The containers are attached and started in either case."""
    stop, remove, make, connect, start = recreate(WEB)
    assert (stop, remove, start) == ("docker stop web", "docker network rm he_ipv6", "docker start web")
    assert make == " || ".join([fixes.network_command(CONFIG, doctor_facts(facts()))] * 2)
    assert connect == "docker network connect he_ipv6 web"


def test_containers_are_attached_again_as_they_were() -> None:
    """Stopped ones too: they refer to the network by an ID that is gone, and would never start again."""
    stopped = replace(WEB, id="stopped", name="stopped", running=False)
    attachment = EndpointConfig(
        ipv6="2001:db8:103:0:78::5",
        aliases=("www",),
        links=("db:database",),
        options={"ipv6.mapper.endpoint": "added"},
        priority=7,
    )
    lines = recreate(
        WEB, stopped, container_configs={WEB.id: ContainerConfig(endpoints={"he_ipv6": attachment})}
    )
    options = "--gw-priority 7 --ip6 2001:db8:103:0:78::5 --alias www --link db:database "
    options += "--driver-opt ipv6.mapper.endpoint=added"
    assert lines[3:] == [
        "docker network connect he_ipv6 stopped",
        f"docker network connect {options} he_ipv6 web",
        "docker start web",
    ]


def test_an_address_outside_the_new_subnets_is_not_requested() -> None:
    """The engine would refuse to attach the container at all."""
    attachment = EndpointConfig(ipv4="192.0.2.7", ipv6="2001:db8:103:0:78::5")
    container_configs = {WEB.id: ContainerConfig(endpoints={"he_ipv6": attachment})}
    all_facts = doctor_facts(facts(WEB, networks=(HE_IPV6,)), container_configs=container_configs)
    elsewhere = replace(CONFIG, pools=(Pool("192.0.2.0/24"), Pool("PREFIX::/80")))
    lines = fixes.recreate(all_facts, HE_IPV6, lambda _: elsewhere).split("\n")
    assert "docker network connect he_ipv6 web" in lines
    assert lines[0].startswith("# with PREFIX replaced by")


def test_a_container_run_with_rm_is_named_before_it_is_stopped() -> None:
    """The engine removes it, so it is neither attached nor started again."""
    lines = recreate(WEB, container_configs={WEB.id: ContainerConfig(auto_remove=True)})
    assert lines[0] == "# run with --rm, so removed once stopped; run again afterwards: web"
    assert not any(line.startswith(("docker start", "docker network connect")) for line in lines)


def test_a_restarting_container_is_stopped_too() -> None:
    """It would come back on the network that the next command removes."""
    restarting = replace(WEB, running=False, in_transition=True)
    assert recreate(restarting)[0] == "docker stop web"


def test_a_network_whose_options_are_unknown_is_not_removed() -> None:
    """Another one is created beside it."""
    all_facts = doctor_facts(facts(WEB, networks=(HE_IPV6,)), network_configs={})
    fix = fixes.recreate(all_facts, HE_IPV6, same)
    assert "docker network rm" not in fix
    assert "he_ipv62\n" in fix
    assert "--label ipv6.mapper.network=he_ipv62" in fix


def test_a_network_keeps_ipv4_if_a_container_has_no_other() -> None:
    """Stopped containers count. IPv4 of an internal network does not."""
    plain = builders.network("plain", None, ipv4=True)
    dual = replace(HE_IPV6, ipv4=True)
    config = replace(CONFIG, ipv4=True, pools=(Pool("192.0.2.0/24"), *CONFIG.pools))
    inside = replace(plain, id="inside", name="inside", internal=True)
    beside = replace(WEB, endpoints=(*WEB.endpoints, builders.endpoint(of=plain)))
    shut_in = replace(WEB, endpoints=(*WEB.endpoints, builders.endpoint(of=inside)))
    cases = ((beside, False), (WEB, True), (replace(WEB, running=False), True), (shut_in, True))
    for container, ipv4 in cases:
        all_facts = doctor_facts(facts(container, networks=(dual, plain, inside)))
        advised = fixes.with_advice(config, all_facts, dual)
        assert (advised.ipv4, any(not pool.is_ipv6 for pool in advised.pools)) == (ipv4, ipv4)
        assert advised.options == {fixes.GATEWAY_MODE: "routed"}


def test_a_comment_names_the_loss_before_a_container_is_removed() -> None:
    """Its files outside of volumes are deleted with it."""
    caution, remove, then = fixes.run_again(doctor_facts(facts(WEB)), [WEB], "otherwise").split("\n")
    assert caution.startswith("# this deletes the containers' files outside of volumes")
    assert remove == "docker stop web && docker rm web"
    assert then == "# then run again, otherwise"


def test_a_container_run_with_rm_is_only_stopped() -> None:
    """The engine removes it; `docker rm` would fail."""
    all_facts = doctor_facts(facts(WEB), container_configs={WEB.id: ContainerConfig(auto_remove=True)})
    assert "docker stop web" in fixes.run_again(all_facts, [WEB], "otherwise").split("\n")


def test_the_fix_for_a_swarm_task_updates_its_service() -> None:
    """Swarm would create a removed task again with the same labels."""
    task = builders.container("web.1.abc", other_labels={"com.docker.swarm.task.id": "abc"})
    fix = fixes.run_again(doctor_facts(facts(task)), [task], "otherwise")
    update = "docker service update --container-label-add …"
    assert fix == f"# a Swarm service; run its tasks again otherwise: {update} web"


def test_a_hostile_name_is_quoted() -> None:
    """It can neither be an option nor end the line."""
    fix = fixes.create(doctor_facts(facts()), "-x\n$(reboot)")
    assert fix.endswith(" -- $'-x\\012$(reboot)'")
    assert "\n$(reboot)" not in fix


def test_a_proposed_subnet_is_an_unused_part_of_the_uplinks_prefix() -> None:
    """No network or other link has it, and neither the host nor its router is in it."""
    host = builders.host(
        on_link=ON_LINK | {(IPv6Network("2001:db8:103:0:2::/80"), "wg0")},
        addresses=frozenset({IPv6Address("2001:db8:103:0:3::1")}),
        next_hops=frozenset({IPv6Address("2001:db8:103:0:4::1")}),
    )
    first = builders.network(subnet=IPv6Network("2001:db8:103:0:1::/80"))
    all_facts = doctor_facts(facts(networks=(first,), of_host=host))
    assert fixes.free_subnet(all_facts) == IPv6Network("2001:db8:103:0:5::/80")


def test_without_an_unused_subnet_the_command_has_a_placeholder() -> None:
    """As on a host whose prefix is routed to it. Pasted as it is, the command changes nothing."""
    taken = builders.network(subnet=PREFIX)
    all_facts = doctor_facts(facts(networks=(taken,), of_host=builders.host(on_link=ON_LINK)))
    caution, command = fixes.create(all_facts, "new").split("\n")
    assert caution.startswith("# with PREFIX replaced by")
    assert "--subnet PREFIX::/80" in command
    assert HE_IPV6_ID not in command
