"""Attempts: what counts as tried before. The rest is tested where moves are refused."""

from dataclasses import replace

from dockeripv6mapper.actions import Reconnect
from dockeripv6mapper.controller.attempts import Attempts
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER, NGINX

MOVE = Reconnect("6ba2", "mon_container", HE_IPV6_ID, HE_IPV6, MON_CONTAINER)


def test_a_move_to_another_address_is_refused_for_the_first_time() -> None:
    """It is tried again after a list."""
    attempts, elsewhere = Attempts(), replace(MOVE, address=NGINX)
    attempts.refused(MOVE, epoch=1)
    attempts.refused(elsewhere, epoch=2)
    assert elsewhere in attempts
    attempts.listed(asked=2)
    assert elsewhere not in attempts
