"""The logbook: says each thing once. A refusal when it begins or changes, a failure also when it ends."""

import logging
from collections.abc import Iterable

from dockeripv6mapper.errors import EngineUnavailableError, MapperError
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.model import Container, Decision, ImageWanted, Mapping, Network, Refusal

log = logging.getLogger(__name__)


class Logbook:
    """Remembers what was said of whom."""

    def __init__(self) -> None:
        self._decisions: dict[str, Decision] = {}
        self._failures: dict[object, tuple[int, str]] = {}
        self._remarks: set[tuple[str, str]] = set()

    def decision(self, container: Container, decision: Decision) -> None:
        """Say what is wanted of a container, where that is news."""
        self._remark(f"container {container.name}", container.id, container.labels, labels.CONTAINER_LABELS)
        if isinstance(decision, ImageWanted) or self._decisions.get(container.id) == decision:
            return
        before = self._decisions.get(container.id)
        self._decisions[container.id] = decision
        match decision:
            case Refusal() if isinstance(before, Refusal) and before.detail == decision.detail:
                pass
            case Refusal() if not decision.reason.is_fault:
                log.debug("container %s: %s [%s]", container.name, decision.detail, decision.reason.value)
            case Refusal():
                log.warning(
                    "container %s is not mapped: %s [%s] (%s)",
                    container.name,
                    decision.detail,
                    decision.reason.value,
                    _labels_of(container.labels),
                )
            case Mapping() if isinstance(before, Refusal) and before.reason.is_fault:
                log.info("container %s can be mapped now", container.name)

    def ports_refused(self, container: Container, refusal: Refusal) -> None:
        """Say once that none of a container's ports are opened."""
        self.once(container.id, f"container {container.name}: no port is opened: {refusal.detail}")

    def ignored(self, container: Container, given: Iterable[str]) -> None:
        """Say once of each label that it does not count, since it is the image's own."""
        for label in given:
            text = f"label {labels.shown(label)} is its image's own, and does not count"
            self.once(container.id, f"container {container.name}: {text}", logging.INFO)

    def network(self, network: Network) -> None:
        """Say what is odd about a network's labels, once."""
        self._remark(f"network {network.name}", network.id, network.labels, labels.NETWORK_LABELS)

    def once(self, subject: str, text: str, level: int = logging.WARNING) -> None:
        """Say `text` of `subject`, unless it was said before."""
        if (subject, text) not in self._remarks:
            self._remarks.add((subject, text))
            log.log(level, "%s", text)

    def failed(self, what: object, error: Exception) -> int:
        """Say that something failed, where that is news; returns how many times in a row it has."""
        count, said = self._failures.get(what, (0, ""))
        gist = _gist(error)
        self._failures[what] = (count + 1, gist)
        if said == gist:
            log.debug("%s (again: %d times now)", error, count + 1)
        elif isinstance(error, EngineUnavailableError):
            log.warning("%s: keeping everything as it is, and trying again", error)
        elif isinstance(error, MapperError):
            log.warning("%s%s", error, f" (try: {error.hint})" if error.hint else "")
        else:
            log.error("unexpected: %r", error, exc_info=error if log.isEnabledFor(logging.DEBUG) else None)
        return count + 1

    def succeeded(self, what: object) -> None:
        """Say that a failure has ended, if there was one."""
        if (failure := self._failures.pop(what, None)) is not None:
            log.info("no longer failing: %s", failure[1])

    def forget(self, container_id: str) -> None:
        """A container is gone: whatever is said of it next is news."""
        self._decisions.pop(container_id, None)
        self._failures.pop(container_id, None)
        self._remarks = {remark for remark in self._remarks if remark[0] != container_id}

    def _remark(self, who: str, subject: str, given: labels.Labels, known: tuple[str, ...]) -> None:
        for oddity in labels.oddities(given, known):
            self.once(subject, f"{who}: {oddity}")


def _gist(error: Exception) -> str:
    """What makes two failures the same: an engine that is away is away, whatever it was asked."""
    return "the engine is away" if isinstance(error, EngineUnavailableError) else str(error)


def _labels_of(given: labels.Labels) -> str:
    ours = sorted((label, value) for label, value in given.items() if label.startswith(labels.PREFIX))
    return " ".join(f"{label}={labels.shown(value)}" for label, value in ours)
