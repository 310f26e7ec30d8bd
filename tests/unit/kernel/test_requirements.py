"""Whether proxy entries can be changed at all, by the kernel's answers to a removal and a look-up."""

import os
from errno import ENOENT, EOPNOTSUPP, EPERM

import pytest

from dockeripv6mapper.errors import HostUnsupportedError
from dockeripv6mapper.kernel.requirements import check_results

ABSENT = OSError(ENOENT, os.strerror(ENOENT))


def test_a_kernel_that_finds_no_such_entry_will_do() -> None:
    """Both answers of kernel 6.18."""
    check_results(ABSENT, ABSENT)


def test_a_kernel_before_5_0_is_refused_by_its_version() -> None:
    """It has a dump of all entries, and no look-up of one."""
    with pytest.raises(
        HostUnsupportedError, match=f"kernel {os.uname().release} cannot, kernel 5.0 and later can"
    ):
        check_results(ABSENT, OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP)))


def test_a_user_namespace_without_rights_is_refused() -> None:
    """Its root has every capability, but none over a network namespace from outside."""
    with pytest.raises(HostUnsupportedError, match="user namespace") as raised:
        check_results(OSError(EPERM, os.strerror(EPERM)), ABSENT)
    assert "--userns host" in (raised.value.hint or "")
