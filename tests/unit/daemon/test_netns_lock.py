"""The name in the network namespace: a mapper's is respected, any other process's is not."""

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

SQUATTER = """
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
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's processes are made by root alone")


@contextmanager
def squatting(address: bytes, *how: str, wrapper: tuple[str, ...] = ()) -> Iterator[int]:
    """A process that holds the name; yields its number."""
    argv = (*wrapper, sys.executable, "-c", SQUATTER, address[1:].decode(), *how)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate()


def test_a_name_is_held_until_its_end_and_tells_by_which_process() -> None:
    """Any process may ask, as often as it likes."""
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
    """It could do a mapper's work, and end this one as well."""
    with squatting(address) as pid, pytest.raises(HeldError, match=f"as process {pid}$"):
        hold()
    with hold():
        assert holder()


@as_root
@pytest.mark.parametrize("how", [("as nobody",), ("as nobody", "in a user namespace")])
def test_an_ordinary_users_process_keeps_no_mapper_from_running(
    address: bytes, how: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Names have no permissions. All capabilities in a user namespace of its own do not help it either."""
    with squatting(address, *how) as pid, hold():
        pass
    (warning,) = (each for each in caplog.records if each.levelno == logging.WARNING)
    assert f"process {pid} of user {NOBODY}, which is no mapper" in warning.message


@as_root
def test_a_process_with_the_capability_counts_as_a_mapper(address: bytes) -> None:
    """As the systemd unit runs it: without root."""
    wrapper = setpriv("net_admin", "dac_read_search")  # the other one, to reach the interpreter
    with squatting(address, wrapper=wrapper) as pid, pytest.raises(HeldError, match=f"as process {pid}$"):
        hold()


@as_root
@pytest.mark.parametrize("how", [(), ("without listening",)])
def test_a_holder_that_takes_no_connection_is_no_mapper(
    address: bytes, how: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot hide who it is behind a full queue, nor by not listening."""
    with squatting(address, "as nobody", *how), socket.socket(socket.AF_UNIX) as waiting:
        waiting.setblocking(False)
        if not how:
            waiting.connect(address)
        with hold():
            pass
    assert "a second mapper in this network namespace would not be noticed" in caplog.text
