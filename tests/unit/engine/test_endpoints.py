"""What the user set on an endpoint is carried over; the calls themselves are tested on real engines."""

from typing import Any

from dockeripv6mapper.engine.endpoints import kept

FULL_ID = "2842547631d19e5ab6117708ced8812d8ed5e532f2d1907cfbb54270967a8caf"


def inspected(endpoint: dict[str, Any], mac: str | None = None, mode: str = "two") -> dict[str, Any]:
    """An inspection of a container with this one endpoint, on the network `two`."""
    return {
        "Id": FULL_ID,
        "Config": {"MacAddress": mac},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": {"two": endpoint}},
    }


def test_everything_that_the_user_set_is_kept() -> None:
    """Addresses, aliases, links, MAC address, driver options and priority; operational data is left out."""
    endpoint = {
        "IPAMConfig": {"IPv4Address": "10.9.0.77"},
        "Links": ["aa:lnk"],
        "Aliases": ["al1", FULL_ID[:12]],
        "MacAddress": "02:11:22:33:44:55",
        "DriverOpts": {"com.example": "x"},
        "GwPriority": 5,
        "EndpointID": "9055",
        "GlobalIPv6Address": "2001:db8::3",
    }
    assert kept(endpoint, inspected(endpoint)) == {
        "IPAMConfig": {"IPv4Address": "10.9.0.77"},
        "Links": ["aa:lnk"],
        "Aliases": ["al1"],
        "MacAddress": "02:11:22:33:44:55",
        "DriverOpts": {"com.example": "x"},
        "GwPriority": 5,
    }


def test_a_stopped_containers_mac_address_is_found_in_its_configuration() -> None:
    """Engine 28 does not show it on the endpoint then; it belongs to the first network alone."""
    endpoint = {"MacAddress": "", "Aliases": None, "IPAMConfig": None}
    mac = "02:11:22:33:44:55"
    assert kept(endpoint, inspected(endpoint, mac)) == {"MacAddress": mac}
    assert kept(endpoint, inspected(endpoint, mac, mode="other")) == {}
