"""Sysctl keys are paths, since a link's name may contain dots."""

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.kernel import sysctls


def test_a_key_is_printed_as_the_sysctl_command_expects_it() -> None:
    """That command writes a dot in a link's name as a slash."""
    assert SysctlChange("conf/eth0.100/proxy_ndp", "0", "1").name == "net.ipv6.conf.eth0/100.proxy_ndp"


def test_a_key_that_does_not_exist_reads_as_none() -> None:
    """As after its link was removed."""
    assert sysctls.read(["conf/no-such-link/proxy_ndp"]) == {"conf/no-such-link/proxy_ndp": None}
