"""Which engines the client speaks with."""

import logging

import pytest

from dockeripv6mapper.engine import config
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.errors import EngineUnsupportedError
from tests.unit.engine.wire import Wire


def test_a_rootless_engine_is_refused_with_one_sentence(wire: Wire, client: Client) -> None:
    """Its bridges are in a namespace of its user's. `GET /version` shows one more component."""
    wire.components.append("rootlesskit")
    for _ in range(2):
        with pytest.raises(EngineUnsupportedError, match="it is rootless, so its containers") as raised:
            client.networks()
        assert raised.value.hint


def test_podman_is_recognised_and_named_once(
    wire: Wire, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Its API is like Docker's, and nothing else of it is known."""
    assert not client.is_podman()
    client.close()
    wire.components = ["Podman Engine", "Conmon", "OCI Runtime (crun)"]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            client.events().close()
    assert client.is_podman()
    assert config.engine_info(client).is_podman
    assert [each.message for each in caplog.records] == [
        "the engine is Podman of an unknown version, with which the mapper is not tested"
    ]
