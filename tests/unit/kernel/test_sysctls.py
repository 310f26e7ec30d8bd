"""Keys are paths, since a link's name may hold dots."""

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.kernel import sysctls


def test_a_key_is_shown_as_sysctl_takes_it() -> None:
    """A dot in a link's name is a slash there."""
    assert SysctlChange("conf/eth0.100/proxy_ndp", "0", "1").name == "net.ipv6.conf.eth0/100.proxy_ndp"


def test_a_key_that_does_not_exist_reads_as_none() -> None:
    """As for a link that has just gone."""
    assert sysctls.read(["conf/no-such-link/proxy_ndp"]) == {"conf/no-such-link/proxy_ndp": None}
