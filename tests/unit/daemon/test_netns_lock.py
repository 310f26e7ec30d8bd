"""The lock of a network namespace: another mapper keeps it, any other process does not stop a start."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dockeripv6mapper.daemon import netns_lock
from dockeripv6mapper.daemon.netns_lock import HeldError, Holder, hold, holder
from tests.lab.mapper import setpriv

HOLDER = """
import ctypes, os, socket, sys
name, *how = sys.argv[1:]
if "as nobody" in how:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
if "in a user namespace" in how:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER: with all capabilities, in there
listener = socket.socket(socket.AF_UNIX)
listener.bind(b"\\0" + name.encode())
if "without listening" not in how:
    listener.listen(0)
print("ready", flush=True)
sys.stdin.read()
"""
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")


@contextmanager
def other_holder(address: bytes, *how: str, wrapper: tuple[str, ...] = ()) -> Iterator[int]:
    """Another process that binds the socket; yields its number."""
    argv = (*wrapper, sys.executable, "-c", HOLDER, address[1:].decode(), *how)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate()


def test_the_lock_is_held_until_its_end_and_names_its_process() -> None:
    """Any process may ask for the holder, more often than the backlog is long."""
    assert holder() is None
    with hold():
        for _ in range(10 * netns_lock.BACKLOG):
            assert holder() == Holder(os.getpid(), os.geteuid())
        with pytest.raises(HeldError, match=f"as process {os.getpid()}$"):
            hold()
    assert holder() is None
    with hold():
        assert holder()


def test_a_process_of_this_user_counts_as_a_mapper(address: bytes) -> None:
    """It has the same privileges as this process."""
    with other_holder(address) as pid, pytest.raises(HeldError, match=f"as process {pid}$"):
        hold()
    with hold():
        assert holder()


@as_root
@pytest.mark.parametrize("how", [("as nobody",), ("as nobody", "in a user namespace")])
def test_a_process_of_an_ordinary_user_does_not_stop_a_start(
    address: bytes, how: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Any user can bind the socket. All capabilities in a new user namespace make no difference."""
    with other_holder(address, *how) as pid, hold():
        pass
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert f"process {pid} of user {NOBODY}, which is no mapper" in warning.message


@as_root
def test_a_process_with_cap_net_admin_counts_as_a_mapper(address: bytes) -> None:
    """The systemd unit runs the daemon so, without root."""
    wrapper = setpriv("net_admin", "dac_read_search")  # dac_read_search: to reach the interpreter
    with other_holder(address, wrapper=wrapper) as pid, pytest.raises(HeldError, match=f"as process {pid}$"):
        hold()


@as_root
@pytest.mark.parametrize("how", [(), ("without listening",)])
def test_a_holder_that_accepts_no_connection_is_no_mapper(
    address: bytes, how: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A full backlog, or no listening at all, hides the process; it does not stop a start either."""
    with other_holder(address, "as nobody", *how), socket.socket(socket.AF_UNIX) as waiting:
        waiting.setblocking(False)
        if not how:
            waiting.connect(address)
        with hold():
            pass
    assert "a second mapper in this network namespace cannot be detected" in caplog.text
