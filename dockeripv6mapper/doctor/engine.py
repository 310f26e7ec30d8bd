"""The engine: can it be spoken to, and is it one that the mapper knows."""

from collections.abc import Iterator

from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, fail, ok, printable, warn
from dockeripv6mapper.doctor.fixes import PROGRAM
from dockeripv6mapper.engine_config import NEWEST_TESTED_API
from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    MapperError,
    PermissionMissingError,
)

OLDEST_API = (1, 41)
"""Of engine 20.10, the oldest that the mapper is tested with."""
UPGRADE = """\
# this restarts the engine, and with it its containers, unless it has `live-restore`:
apt-get update && apt-get install --only-upgrade "$(dpkg -S "$(command -v dockerd)" | cut -d: -f1)"
"""
"""Of the package that is there: Debian's and Docker's own replace each other."""

UPGRADE_MAPPER = f"{PROGRAM} --version  # and look for a newer version of the mapper"


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Reachable, and of which version; or what kept it from being looked at."""
    for error in facts.errors:
        yield _unseen(error)
    for sentence in facts.unreadable:
        yield warn(
            "unreadable",
            "engine",
            printable(sentence),
            why="it was not checked, and the daemon leaves it as it was last known",
            fix=UPGRADE_MAPPER,
        )
    if (engine := facts.engine) is None:
        return
    api = ".".join(map(str, engine.api))
    said = f"engine {engine.version} answers, and speaks API {api}"
    if engine.api < OLDEST_API:
        yield warn(
            "engine-version",
            "engine",
            said,
            why="the mapper is tested with engine 20.10 (API 1.41) and later",
            fix=UPGRADE,
        )
    elif engine.api > NEWEST_TESTED_API:
        yield warn(
            "engine-version",
            "engine",
            f"{said} and later",
            why=f"the mapper is tested up to API {'.'.join(map(str, NEWEST_TESTED_API))}, which the engine "
            "no longer speaks: an answer may be unreadable",
            fix=UPGRADE_MAPPER,
        )
    else:
        yield ok("engine-version", "engine", said)


def _unseen(error: MapperError) -> Finding:
    again = f"{PROGRAM} doctor  # as root"
    fix = error.hint or again
    match error:
        case PermissionMissingError():
            why = "without it the mapper can neither see nor connect a container"
            return fail("permission", "engine", str(error), why=why, fix=fix)
        case EngineUnavailableError():
            why = "while the engine is away, nothing is mapped; what is mapped stays"
            return fail("engine", "engine", str(error), why=why, fix=fix)
        case EngineRefusedError():
            why = "what the engine does not tell was not checked"
            return fail("engine", "engine", str(error), why=why, fix="journalctl --unit docker --lines 20")
    return warn(
        "examination", "host", str(error), why="what could not be looked at was not checked", fix=again
    )
