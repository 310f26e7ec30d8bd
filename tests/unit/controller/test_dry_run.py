"""Dry run: each planned change is logged once for as long as it stays planned."""

import logging
from dataclasses import replace

import pytest

from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.queue import ResyncNow
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.settings import Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.test_observers import RecordingMeter
from tests.unit.controller.world import event, running_controller, world_with

ATTACHED = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
DRY = Settings(resync=86400, dry_run=True)


def dry_run_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log lines about planned changes."""
    return [each.message for each in caplog.records if each.message.startswith("would ")]


def test_a_planned_change_is_logged_again_only_after_it_disappeared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each subject (proxy entries, firewall, one container) has its own set of lines."""
    log_changes = LogChanges()
    with caplog.at_level(logging.INFO):
        for lines in (["would a"], ["would a", "would b"], ["would b"], ["would a"]):
            log_changes.dry_run("proxy entries", lines)
        log_changes.dry_run("the firewall", ["would a"])
        log_changes.dry_run("6ba2", ["would c"])
        log_changes.forget("6ba2")
        log_changes.dry_run("6ba2", ["would c"])
    assert dry_run_lines(caplog) == ["would a", "would b", "would a", "would a", "would c", "would c"]


def test_a_dry_run_logs_a_planned_change_once_across_full_passes(caplog: pytest.LogCaptureFixture) -> None:
    """The line is logged again after the container died and started."""
    world, meter = world_with(ATTACHED), RecordingMeter()
    line = f"would proxy {MON_CONTAINER} on eth0"
    with caplog.at_level(logging.INFO), running_controller(world, DRY, meter=meter) as controller:
        eventually(lambda: line in dry_run_lines(caplog))
        for _ in range(3):
            passes = meter.passes.count(True)
            controller.post(ResyncNow())
            eventually(lambda passes=passes: meter.passes.count(True) > passes)  # type: ignore[misc]
        assert dry_run_lines(caplog) == [line]
        world.containers[ATTACHED.id] = replace(ATTACHED, running=False)
        controller.post(event(ATTACHED, Change.DIED))
        passes = len(meter.passes)
        eventually(lambda: len(meter.passes) > passes)
        world.containers[ATTACHED.id] = ATTACHED
        controller.post(event(ATTACHED, Change.STARTED))
        eventually(lambda: dry_run_lines(caplog) == [line, line])
    assert not world.entries
