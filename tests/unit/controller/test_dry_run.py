"""A dry run: says what it would do once, and remembers no more than what it would do now."""

import logging
from dataclasses import replace

import pytest

from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.queue import ResyncNow
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.settings import Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.test_observers import Counter
from tests.unit.controller.world import event, running, world_with

ATTACHED = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
DRY = Settings(resync=86400, dry_run=True)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What it would do, as logged."""
    return [each.message for each in caplog.records if each.message.startswith("would ")]


def test_only_new_lines_are_logged_and_those_that_are_gone_are_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What would be done again after it was not is news; each side has its own lines."""
    log_changes = LogChanges()
    with caplog.at_level(logging.INFO):
        for lines in (["would a"], ["would a", "would b"], ["would b"], ["would a"]):
            log_changes.dry_run("proxy entries", lines)
        log_changes.dry_run("the firewall", ["would a"])
        log_changes.dry_run("6ba2", ["would c"])
        log_changes.forget("6ba2")
        log_changes.dry_run("6ba2", ["would c"])
    assert said(caplog) == ["would a", "would b", "would a", "would a", "would c", "would c"]


def test_a_dry_run_says_each_thing_once_as_long_as_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    """Full passes repeat nothing; what comes again after it had gone is logged again."""
    world, meter = world_with(ATTACHED), Counter()
    line = f"would proxy {MON_CONTAINER} on eth0"
    with caplog.at_level(logging.INFO), running(world, DRY, meter=meter) as controller:
        eventually(lambda: line in said(caplog))
        for _ in range(3):
            passes = meter.passes.count(True)
            controller.post(ResyncNow())
            eventually(lambda passes=passes: meter.passes.count(True) > passes)  # type: ignore[misc]
        assert said(caplog) == [line]
        world.containers[ATTACHED.id] = replace(ATTACHED, running=False)
        controller.post(event(ATTACHED, Change.DIED))
        passes = len(meter.passes)
        eventually(lambda: len(meter.passes) > passes)
        world.containers[ATTACHED.id] = ATTACHED
        controller.post(event(ATTACHED, Change.STARTED))
        eventually(lambda: said(caplog) == [line, line])
    assert not world.entries
