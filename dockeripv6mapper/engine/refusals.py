"""Refusals: what the engine refuses for good, as a file, so that `status` and `doctor` can say it.

Only the engine's answer to a connect shows whether a network takes a requested address. The daemon writes the
answer down. The file is a record, and no daemon reads it: a new one asks again. It is below /run, so it does
not survive a reboot.
"""

import json
import logging
import os
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path

from dockeripv6mapper.actions import EndpointChange
from dockeripv6mapper.errors import (
    AddressNotAcceptedError,
    LastingRefusalError,
    MacAddressError,
    NoRequestedAddressError,
    NotAttachableError,
)
from dockeripv6mapper.model import EngineRefusal, Reason

log = logging.getLogger(__name__)

REASONS: Mapping[type[LastingRefusalError], Reason] = {
    NoRequestedAddressError: Reason.NETWORK_ACCEPTS_NO_ADDRESS,
    AddressNotAcceptedError: Reason.ADDRESS_NOT_ACCEPTED,
    NotAttachableError: Reason.NETWORK_UNSUPPORTED,
    MacAddressError: Reason.MAC_ADDRESS,
}
DETAILS = {
    Reason.NETWORK_ACCEPTS_NO_ADDRESS: "network {0.network} accepts no address: the engine chose its subnet",
    Reason.ADDRESS_NOT_ACCEPTED: "network {0.network} does not accept {0.address}: no subnet has it",
    Reason.MAC_ADDRESS: "the engine would not keep the MAC address in a move",
    Reason.NETWORK_UNSUPPORTED: "network {0.network} takes only the Swarm services that name it",
}
"""What to say instead of the engine's answer."""
OF_NETWORKS = (Reason.NETWORK_ACCEPTS_NO_ADDRESS, Reason.NETWORK_UNSUPPORTED)
"""Reasons that hold for every container on the network."""


def engine_refusal(action: EndpointChange, error: LastingRefusalError) -> EngineRefusal:
    """What the engine's answer to an action says of it, or of its network."""
    reason = REASONS[type(error)]
    hint = f" (try: {error.hint})" if error.hint else ""
    detail = DETAILS[reason].format(action) + hint
    return EngineRefusal(reason, detail, action.network_id, None if reason in OF_NETWORKS else action.address)


class RefusalRecord:
    """The file, with the refusals by the ID of the container or the network that they concern."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "refusals.json"

    def write(self, refusals: Mapping[str, EngineRefusal]) -> None:
        """Replace the record; remove it where there is nothing. A failure is logged only."""
        text = json.dumps(
            {
                subject: {
                    "reason": each.reason.value,
                    "detail": each.detail,
                    "network_id": each.network_id,
                    "address": None if each.address is None else str(each.address),
                }
                for subject, each in refusals.items()
            }
        )
        draft = self.path.with_suffix(".draft")
        try:
            if not refusals:
                self.path.unlink(missing_ok=True)
                return
            draft.write_text(text)
            os.replace(draft, self.path)  # noqa: PTH105 - as in the journal
        except OSError as error:
            log.warning(
                "writing %s: %s; status cannot say what the engine refuses", self.path, error.strerror
            )

    def read(self) -> dict[str, EngineRefusal]:
        """The record; empty where there is none, or none that can be read."""
        try:
            items = json.loads(self.path.read_text()).items()
            return {subject: _refusal(**item) for subject, item in items}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("reading %s: %s; what the engine refuses is shown as pending", self.path, error)
            return {}


def _refusal(reason: str, detail: str, network_id: str, address: str | None) -> EngineRefusal:
    """Raises `ValueError`."""
    return EngineRefusal(
        Reason(reason), detail, network_id, None if address is None else IPv6Address(address)
    )
