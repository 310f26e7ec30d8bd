"""What the daemon says of a network that it maps into and that lets nothing in."""

import logging
import threading
from dataclasses import replace

import pytest

from dockeripv6mapper.checks import inbound
from dockeripv6mapper.checks.finding import Level
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.settings import Settings
from dockeripv6mapper.surroundings import Surroundings
from tests.lab.waiting import eventually
from tests.unit import builders
from tests.unit.builders import facts
from tests.unit.checks.looks import HE_IPV6, RECIPE, examined, mapped, saw
from tests.unit.controller.world import World, event, running
from tests.unit.rulesets import ENGINE_28_NAT, ENGINE_28_ROUTED

NAT = replace(HE_IPV6, gateway_mode="nat")
WEB = mapped(network=NAT)
OFTEN = Settings(resync=0.05)


def world(surroundings: Surroundings) -> World:
    """A world with one mapped container on a network in mode nat."""
    return World(containers={WEB.id: WEB}, networks_there=(NAT,), surroundings=surroundings)


def await_passes(there: World, count: int) -> None:
    """Until everything was looked at afresh so many times."""
    passes = threading.Semaphore(0)
    there.listing = passes.release
    for _ in range(count):
        assert passes.acquire(timeout=10)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of the network's gateway mode."""
    return [each.getMessage() for each in caplog.records if "gateway mode nat" in each.getMessage()]


def test_a_warning_is_one_line_with_the_finding_the_reason_and_the_fix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same as doctor's, its fix still one that can be pasted; and once, however often one looks."""
    there = world(saw(ENGINE_28_NAT))
    with running(there, OFTEN):
        eventually(lambda: warnings(caplog))
        await_passes(there, 3)
    (finding,) = (
        each
        for each in inbound.check(examined(facts(WEB, networks=(NAT,)), saw(ENGINE_28_NAT)), NAT)
        if each.level is not Level.OK
    )
    commands = finding.fix.replace("\n", "; ")
    assert warnings(caplog) == [f"{finding.subject}: {finding.found}: {finding.why} (try: {commands})"]
    assert there.surveys == 1


def test_a_comment_in_a_fix_does_not_swallow_the_commands_after_it(caplog: pytest.LogCaptureFixture) -> None:
    """In one line everything after it would be a comment."""
    with running(world(saw(ENGINE_28_NAT, recipes={})), OFTEN):
        eventually(lambda: warnings(caplog))
    assert "#" not in warnings(caplog)[0]
    assert "; docker stop web && docker rm web)" in warnings(caplog)[0]


def test_a_name_adds_no_line_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A network may be called anything."""
    evil = replace(NAT, name="x\n2026-01-01 root logged in\x1b[2K")
    container = mapped(network=evil)
    recipes = {evil.id: replace(RECIPE, name=evil.name)}
    there = World({container.id: container}, (evil,), surroundings=saw(ENGINE_28_NAT, recipes=recipes))
    with running(there, OFTEN):
        eventually(lambda: warnings(caplog))
    assert warnings(caplog)[0].isprintable()


def test_a_network_that_lets_things_in_is_asked_about_once_and_not_spoken_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All is well."""
    there = World({WEB.id: WEB}, (HE_IPV6,), surroundings=saw(ENGINE_28_ROUTED))
    with running(there, OFTEN):
        eventually(lambda: there.surveys)
        await_passes(there, 3)
    assert there.surveys == 1
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_each_network_is_asked_about_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """What was seen for one may be from before the other had any rules."""
    other = builders.network("other", gateway_mode="nat", bridge="br-0123456789ab")
    address = builders.MON_CONTAINER
    second = builders.container(
        network="other", running=True, endpoints=(builders.endpoint(address, address, of=other),)
    )
    there = World({WEB.id: WEB, second.id: second}, (NAT, other), surroundings=saw(ENGINE_28_NAT))
    with running(there, OFTEN):
        eventually(lambda: len(warnings(caplog)) == 2)
        await_passes(there, 2)
    assert there.surveys == 2


def test_it_is_asked_again_where_the_engine_went_away(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing could be judged, so nothing is taken for judged."""
    there = world(Surroundings())
    with running(there, OFTEN) as controller:
        eventually(lambda: there.surveys >= 2)
        assert not warnings(caplog)
        there.surroundings = saw(ENGINE_28_NAT)
        controller.post(event(WEB, Change.STARTED))
        eventually(lambda: warnings(caplog))


def test_surveys_that_take_long_keep_no_container_waiting() -> None:
    """They inspect every container, one survey for each network: one that starts meanwhile is looked at."""
    networks = [builders.network(name) for name in ("first", "second", "third")]
    addresses = [builders.SUBNET[number] for number in (0x1000, 0x1001, 0x1002)]
    containers = [
        builders.container(
            network=network.name,
            suffix=f"{address.packed[-2]:x}{address.packed[-1]:02x}",
            name=f"on-{network.name}",
            running=True,
            endpoints=(builders.endpoint(address, address, of=network),),
        )
        for network, address in zip(networks, addresses, strict=True)
    ]
    released = threading.Event()
    there = World({each.id: each for each in containers}, tuple(networks))
    there.surveying = lambda: released.wait(10)
    with running(there) as controller:
        eventually(lambda: there.surveys)
        controller.post(event(containers[0], Change.OTHER))
        eventually(lambda: there.looked, within=3)
        released.set()
