"""Log changes: a refusal is logged when it begins or changes, a failure also when it ends. No repeats."""

import logging
import time
from collections.abc import Callable, Iterable

from dockeripv6mapper.controller.unexpected import Kind, UnexpectedErrors
from dockeripv6mapper.errors import EngineUnavailableError, MapperError, NoAnswerError
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import labels_of_the_image
from dockeripv6mapper.mapping.needs import Needs
from dockeripv6mapper.mapping.networks import NAT
from dockeripv6mapper.model import AddressMapping, Container, Decision, Network, Refusal, Undecided
from dockeripv6mapper.settings import Settings

log = logging.getLogger(__name__)


DOCTOR = "DockerIPV6Mapper.py doctor"
"""The command that reads the host's firewall rules, and prints how to create the network again."""
ENGINE_UNREACHABLE = "the engine is unreachable"
"""One text for all failures of calls to an engine that is unreachable, so that it is logged once."""


class LogChanges:
    """What was logged about each subject: a container, a network, a job."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._decisions: dict[str, Decision] = {}
        self._failures: dict[object, tuple[int, str]] = {}
        self._unexpected = UnexpectedErrors(clock)
        self._kinds: dict[object, Kind] = {}
        """The kinds of the failures that are unexpected errors, and were logged."""
        self._remarks: set[tuple[str, str]] = set()
        self._dry_run: dict[str, frozenset[str]] = {}
        """What a dry run would do now, by container ID or part of the host."""

    def container(
        self, container: Container, decision: Decision, needs: Needs, facts: Facts, settings: Settings
    ) -> None:
        """Log what a pass decided on a container, where that changed."""
        self._decision(container, decision)
        self._ignored_labels(container, labels_of_the_image(container, facts, settings))
        if needs.ports_refused is not None:
            detail = needs.ports_refused.detail
            self.once(container.id, f"container {container.name}: opening no port: {detail}")
        if isinstance(decision, AddressMapping) and _is_mapped(container, decision):
            network = facts.networks.get(decision.network_id)
            if network is not None:
                self._unreachable_network(network, facts, opens=bool(needs.openings))

    def network(self, network: Network) -> None:
        """Log unknown and misspelt labels of a network once."""
        self._remark(f"network {network.name}", network.id, network.labels, labels.NETWORK_LABELS)

    def once(self, subject: str, text: str, level: int = logging.WARNING) -> None:
        """Log a text about a subject, unless it was logged before."""
        if (subject, text) not in self._remarks:
            self._remarks.add((subject, text))
            log.log(level, "%s", text)

    def dry_run(self, part: str, lines: Iterable[str], level: int = logging.INFO) -> None:
        """Log the new lines of what a dry run would do. `part`: a container's ID, or a part of the host."""
        now = frozenset(lines)
        for line in sorted(now - self._dry_run.get(part, frozenset())):
            log.log(level, "%s", line)
        if now:
            self._dry_run[part] = now
        else:
            self._dry_run.pop(part, None)

    def failed(self, what: object, error: Exception) -> int:
        """Log a failure, if it is new or changed. Returns how many times in a row it has failed."""
        count, said = self._failures.get(what, (0, ""))
        if not isinstance(error, MapperError):
            if (kind := self._unexpected.log(error)) is not None:
                self._kinds[what], said = kind, repr(error)
            self._failures[what] = (count + 1, said)
            return count + 1
        gist = _gist(error)
        known = said == gist or (gist == ENGINE_UNREACHABLE and self._engine_is_unreachable())
        self._failures[what] = (count + 1, gist)
        if known:
            log.debug("%s (repeated: %d times)", error, count + 1)
        else:
            retrying = "; retrying, addresses and proxy entries stay"
            unavailable = isinstance(error, EngineUnavailableError)
            hint = f" (try: {error.hint})" if error.hint else ""
            log.warning("%s%s%s", error, retrying if unavailable else "", hint)
        return count + 1

    def succeeded(self, what: object) -> None:
        """Log that a failure has ended, if there was one."""
        _, said = self._failures.pop(what, (0, ""))
        if (kind := self._kinds.pop(what, None)) is not None:
            self._unexpected.end(kind)
        if said and not (said == ENGINE_UNREACHABLE and self._engine_is_unreachable()):
            log.info("no longer failing: %s", said)

    def engine_reconnected(self) -> None:
        """Log that the failures of an unreachable engine have ended."""
        for what in [what for what, (_, said) in self._failures.items() if said == ENGINE_UNREACHABLE]:
            self.succeeded(what)

    def forget(self, subject: str, *whats: object) -> None:
        """Forget what was logged of a removed container or network, and of `whats`."""
        self._decisions.pop(subject, None)
        self._dry_run.pop(subject, None)
        for what in (subject, *whats):
            self._failures.pop(what, None)
            self._kinds.pop(what, None)
        self._remarks = {remark for remark in self._remarks if remark[0] != subject}

    def _decision(self, container: Container, decision: Decision) -> None:
        """Log the decision on a container, if it changed."""
        self._remark(f"container {container.name}", container.id, container.labels, labels.CONTAINER_LABELS)
        if isinstance(decision, Undecided) or self._decisions.get(container.id) == decision:
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
            case AddressMapping() if isinstance(before, Refusal) and before.reason.is_fault:
                log.info("container %s can be mapped now", container.name)

    def _unreachable_network(self, network: Network, facts: Facts, *, opens: bool) -> None:
        """Warn once of a network that is unreachable from outside. `opens`: a label opens ports there."""
        if why := _closed_by(network, facts, opens=opens):
            name = labels.plain(network.name)
            self.once(network.id, f"network {name} is unreachable from outside: {why} (see {DOCTOR})")

    def _ignored_labels(self, container: Container, given: Iterable[str]) -> None:
        """Log once for each label that it is ignored, because it comes from the image."""
        for label in given:
            text = f"ignoring label {labels.shown(label)}: it comes from the image (see --trust-image-labels)"
            self.once(container.id, f"container {container.name}: {text}", logging.INFO)

    def _engine_is_unreachable(self) -> bool:
        return any(said == ENGINE_UNREACHABLE for _, said in self._failures.values())

    def _remark(self, name: str, subject: str, given: labels.Labels, known: tuple[str, ...]) -> None:
        for sentence in labels.ineffective_labels(given, known):
            self.once(subject, f"{name}: {sentence}")


def _is_mapped(container: Container, mapping: AddressMapping) -> bool:
    """Whether a running container has its mapped address."""
    return container.running and any(each.address == mapping.address for each in container.endpoints)


def _closed_by(network: Network, facts: Facts, *, opens: bool) -> str | None:
    """Why a network is unreachable from outside, by the engine's list; None: the list shows no reason."""
    if network.internal:
        return "it is internal"
    if network.gateway_mode == NAT and opens and facts.filters_with_nftables:
        return "its gateway mode is nat, in which the engine's nftables rules drop also what a label opens"
    if network.gateway_mode == NAT and not opens:
        return "its gateway mode is nat, and no label opens a port"
    return None


def _gist(error: MapperError) -> str:
    """The text that identifies a failure: two with the same text are logged as one."""
    unreachable = isinstance(error, EngineUnavailableError) and not isinstance(error, NoAnswerError)
    return ENGINE_UNREACHABLE if unreachable else str(error) or repr(error)


def _labels_of(given: labels.Labels) -> str:
    ours = sorted((label, value) for label, value in given.items() if label.startswith(labels.PREFIX))
    return " ".join(f"{label}={labels.shown(value)}" for label, value in ours)
