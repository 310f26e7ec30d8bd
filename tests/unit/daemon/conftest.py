"""An abstract socket address for each test: the tests share one network namespace."""

import secrets

import pytest


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The abstract address that is the lock in this test."""
    address = b"\0dockeripv6mapper-test-" + secrets.token_hex(8).encode()
    monkeypatch.setattr("dockeripv6mapper.daemon.netns_lock.ADDRESS", address)
    return address
