"""Chaos in small: operations and faults from fixed seeds, and all that has to hold throughout."""

import pytest

from tests.lab.chaos.stage import Stage
from tests.lab.chaos.steps import draw
from tests.lab.hosts import Host
from tests.lab.topology import Lab

STEPS = 100
"""Of each seed: what its operations and pauses take is some 45 s. `tests/chaos` takes more at will."""


# Docker's library leaves its connections to an engine that is gone to the collector of garbage.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", [1, 2])
def test_all_of_it_holds_whatever_befalls_host_engine_and_daemon(lab: Lab, host: Host, seed: int) -> None:
    """Nothing is lost, taken from anybody or left undone, and the daemon never ends by itself."""
    with Stage(lab, host) as stage:
        broken = stage.play(draw(seed, STEPS))
        assert broken is None, f"tests/chaos --seed {seed} --steps {STEPS}: {broken}\n{stage.mapper.log()}"
