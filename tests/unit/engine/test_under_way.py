"""Under way: each container is changed by one, however many threads think of it at once."""

import sys
import threading
from collections.abc import Iterator

import pytest

from dockeripv6mapper.actions import EndpointAction, Restore
from dockeripv6mapper.engine.under_way import UnderWay

CONTAINERS = 20_000
THREADS = 2


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(seconds)


@pytest.mark.usefixtures("hasty")
def test_one_of_the_threads_that_begin_at_the_same_time_may() -> None:
    """For each of many containers."""
    under_way, barrier = UnderWay(), threading.Barrier(THREADS)
    begun: list[EndpointAction] = []

    def begin() -> None:
        actions = [Restore(str(number), "mon_container") for number in range(CONTAINERS)]
        barrier.wait()
        begun.extend(action for action in actions if under_way.begin(action))

    threads = [threading.Thread(target=begin) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(action.container_id) for action in begun) == list(range(CONTAINERS))
    assert {id(action) for action in under_way.all()} == {id(action) for action in begun}
