"""Fixtures: a name of the test's own, since tests share a network namespace with each other."""

import secrets

import pytest


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The abstract address that a daemon of this test holds."""
    address = b"\0dockeripv6mapper-test-" + secrets.token_hex(8).encode()
    monkeypatch.setattr("dockeripv6mapper.daemon.netns_lock.ADDRESS", address)
    return address
