"""The bytes of Neighbour Discovery messages."""

from dockeripv6mapper.kernel.ndp import unsolicited_advertisement
from tests.unit.builders import MON_CONTAINER


def test_an_announcement_is_an_advertisement_without_the_override_flag() -> None:
    """RFC 4861 §4.4: type, code, checksum; only the flag R; the target; the link-layer address option."""
    message = unsolicited_advertisement(MON_CONTAINER, bytes.fromhex("020000000001"))
    assert message.hex(" ", 4) == ("88000000 80000000 20010470 b0800103 0001003d 007a0030 02010200 00000001")
