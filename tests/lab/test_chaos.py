"""A short chaos run: random operations and faults from fixed seeds; the invariants hold throughout."""

import pytest

from tests.lab.chaos.runner import Runner
from tests.lab.chaos.step_generator import draw
from tests.lab.engine_choice import on_every_engine
from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.topology import Lab

SEEDS = {flavour: seed for seed, flavour in enumerate(Flavour, start=1)}
STEPS = 30
"""Steps per seed, about 15 s. `tests/chaos --steps` runs more."""


# docker-py does not close its connections to a stopped engine; the garbage collector does.
@on_every_engine("each has its own races")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_invariants_hold_under_random_faults_of_host_engine_and_daemon(
    lab: Lab, host: Host, flavour: Flavour
) -> None:
    """Settings of users and foreign entries are kept, the plan becomes empty, and the daemon never exits."""
    seed = SEEDS[flavour]
    with Runner(lab, host) as runner:
        broken = runner.run(draw(seed, STEPS))
        assert broken is None, f"tests/chaos --seed {seed} --steps {STEPS}: {broken}\n{runner.mapper.log()}"
