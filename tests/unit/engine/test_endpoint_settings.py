"""Endpoint settings: what is read from an inspection. The calls themselves are tested on real engines."""

from dockeripv6mapper.engine.endpoint_settings import endpoint_on_network, user_settings

FULL_ID = "2842547631d19e5ab6117708ced8812d8ed5e532f2d1907cfbb54270967a8caf"


def test_user_settings_are_all_that_the_user_set() -> None:
    """Addresses, aliases, links, driver options and priority; without operational data."""
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
    assert user_settings(endpoint, {"Id": FULL_ID}) == {
        "IPAMConfig": {"IPv4Address": "10.9.0.77"},
        "Links": ["aa:lnk"],
        "Aliases": ["al1"],
        "DriverOpts": {"com.example": "x"},
        "GwPriority": 5,
    }


def test_of_two_endpoints_on_a_network_the_one_listed_under_its_id_is_found() -> None:
    """A stopped container may have two where its network was removed: ours by ID, the user's by name."""
    users, ours = {"NetworkID": "net-id", "Aliases": ["al1"]}, {"NetworkID": "", "DriverOpts": {"a": "b"}}
    inspected = {"NetworkSettings": {"Networks": {"he_ipv6": users, "net-id": ours}}}
    assert endpoint_on_network(inspected, "net-id", "net-id") == ours
    assert endpoint_on_network(inspected, "another", "he_ipv6") == users
    assert endpoint_on_network(inspected, "another", "other") is None
