"""Engine: checks whether the engine answers, and whether its version is tested."""

from collections.abc import Iterator

from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, fail, ok, printable, warn
from dockeripv6mapper.doctor.fixes import PROGRAM
from dockeripv6mapper.engine_config import NEWEST_TESTED_API
from dockeripv6mapper.errors import (
    CommandCrashedError,
    EngineRefusedError,
    EngineUnavailableError,
    EngineUnsupportedError,
    HostUnsupportedError,
    MapperError,
    PermissionMissingError,
)

OLDEST_API = (1, 41)
"""The API of engine 20.10, the oldest tested engine."""
UPGRADE = """\
# this restarts the engine, and with it its containers, unless it has `live-restore`:
apt-get update && apt-get install --only-upgrade "$(dpkg -S "$(command -v dockerd)" | cut -d: -f1)"
"""
"""Upgrades the installed package. Debian's and Docker's packages replace each other, so none is named."""

UPGRADE_MAPPER = f"{PROGRAM} --version  # and look for a newer version of the mapper"


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Findings on the engine's version, and on everything that could not be read."""
    for error in facts.errors:
        yield _read_error(error)
    for sentence in facts.unreadable:
        yield warn(
            "unreadable",
            "engine",
            printable(sentence),
            why="it was not checked, and the daemon works with its last known state",
            fix=UPGRADE_MAPPER,
        )
    if (engine := facts.engine) is None:
        return
    api = ".".join(map(str, engine.api))
    answers = f"engine {engine.version} answers, with API {api}"
    if engine.api < OLDEST_API:
        yield warn(
            "engine-version",
            "engine",
            answers,
            why="the mapper is tested with engine 20.10 (API 1.41) and later",
            fix=UPGRADE,
        )
    elif engine.api > NEWEST_TESTED_API:
        yield warn(
            "engine-version",
            "engine",
            f"{answers} and later",
            why=f"the mapper is tested up to API {'.'.join(map(str, NEWEST_TESTED_API))}, which the engine "
            "no longer supports: an answer may be unreadable",
            fix=UPGRADE_MAPPER,
        )
    else:
        yield ok("engine-version", "engine", answers)


def _read_error(error: MapperError) -> Finding:
    """The finding on something that could not be read."""
    again = f"{PROGRAM} doctor  # as root"
    check, subject, fix = "engine", "engine", error.hint or again
    match error:
        case CommandCrashedError():
            check, subject = "tool", "firewall"
            why = "no port can be opened or closed, and what gets in from outside is not known"
        case PermissionMissingError():
            check = "permission"
            why = "without it the mapper can neither list nor connect containers"
        case HostUnsupportedError():
            check, subject = "kernel", "host"
            why = "no container's address can be proxied"
        case EngineUnsupportedError():
            why = "no container of this engine can be mapped"
        case EngineUnavailableError():
            why = "meanwhile no container is mapped; addresses and proxy entries stay"
        case EngineRefusedError():
            why = "the engine refused a request: what depends on the answer was not checked"
            fix = "journalctl --unit docker --lines 20"
        case _:
            why = "what could not be read was not checked"
            return warn("examination", "host", str(error), why=why, fix=again)
    return fail(check, subject, str(error), why=why, fix=fix)
