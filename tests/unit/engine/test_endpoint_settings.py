"""What the user set on an endpoint is carried over; the calls themselves are tested on real engines."""

from dockeripv6mapper.engine.endpoint_settings import endpoint_on_network, user_settings

FULL_ID = "2842547631d19e5ab6117708ced8812d8ed5e532f2d1907cfbb54270967a8caf"


def test_everything_that_the_user_set_is_kept() -> None:
    """Addresses, aliases, links, driver options and priority; operational data is left out."""
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


def test_an_endpoint_that_was_made_by_a_networks_id_is_told_from_the_users_on_that_network() -> None:
    """A stopped container may have both, where the network went between the two."""
    users, ours = {"NetworkID": "net-id", "Aliases": ["al1"]}, {"NetworkID": "", "DriverOpts": {"a": "b"}}
    inspected = {"NetworkSettings": {"Networks": {"he_ipv6": users, "net-id": ours}}}
    assert endpoint_on_network(inspected, "net-id", "net-id") == ours
    assert endpoint_on_network(inspected, "another", "he_ipv6") == users
    assert endpoint_on_network(inspected, "another", "other") is None
