"""MAC addresses from an endpoint's mark. Those from other fields are tested in `test_endpoints`."""

import pytest

from dockeripv6mapper.engine.mac_addresses import Mac, MacOrigin, mac_of
from dockeripv6mapper.engine.translate import MARK

CHOSEN = "02:00:00:00:00:0a"


@pytest.mark.parametrize(
    ("mark", "mac"),
    [
        ("added", ""),
        ("moved:2001:db8::5", ""),
        (f"moved:2001:db8::5,{CHOSEN}", CHOSEN),
        (f'restore:{{"Aliases": ["a", "b"], "MacAddress": "{CHOSEN}"}}', CHOSEN),
        ("restore:{}", ""),
        ('restore:{"Aliases": ["a", "b"', ""),
    ],
)
def test_a_mark_holds_the_chosen_mac_address(mark: str, mac: str) -> None:
    """An unreadable mark holds none: the text after its first comma is not an address."""
    origin = MacOrigin.CHOSEN if mac else MacOrigin.GENERATED
    assert mac_of({"DriverOpts": {MARK: mark}}, {}, (1, 51)) == Mac(origin, mac)
