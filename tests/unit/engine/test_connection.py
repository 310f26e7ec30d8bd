"""Which engines the client speaks with, by the components in an answer of `GET /version`."""

import pytest

from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.errors import EngineUnsupportedError
from tests.unit.engine.wire import Wire

ENGINE = ["Engine", "containerd", "runc", "docker-init"]


@pytest.mark.parametrize(
    ("components", "sentence"),
    [
        ([*ENGINE, "rootlesskit"], "it is rootless, so its containers are not on the host's network"),
        (["Podman Engine", "Conmon", "OCI Runtime (crun)"], "it is Podman of an unknown version"),
    ],
    ids=["rootless", "Podman 4.3.1"],
)
def test_an_engine_whose_containers_cannot_be_mapped_is_refused(
    wire: Wire, client: Client, components: list[str], sentence: str
) -> None:
    """With one sentence and a remedy, at every call. Each container would be moved again and again."""
    wire.components = ENGINE
    client.networks()
    client.close()
    wire.components = components
    for call in (client.networks, client.events):
        with pytest.raises(EngineUnsupportedError, match=sentence) as raised:
            call()
        assert raised.value.hint
