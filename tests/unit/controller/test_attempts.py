"""Which refused moves are attempted again. `test_loop` tests the rest."""

from dataclasses import replace

from dockeripv6mapper.actions import Reconnect
from dockeripv6mapper.controller.attempts import Attempts
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER, NGINX

MOVE = Reconnect("6ba2", "mon_container", HE_IPV6_ID, HE_IPV6, MON_CONTAINER)


def test_a_refused_move_to_a_new_address_is_retried_once() -> None:
    """Earlier refusals of another address do not count; a list allows the next attempt."""
    attempts, other_move = Attempts(), replace(MOVE, address=NGINX)
    attempts.refused(MOVE, epoch=1)
    attempts.refused(other_move, epoch=2)
    assert other_move in attempts
    attempts.listed(asked=2)
    assert other_move not in attempts
