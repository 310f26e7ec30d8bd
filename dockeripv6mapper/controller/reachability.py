"""Reachability: a word of warning, once for each network that is mapped into and lets nothing in.

The same checks as `doctor`'s, asked when the first container runs there: before that there is no rule to see.
"""

from dockeripv6mapper.checks import inbound
from dockeripv6mapper.checks.examined import Examined
from dockeripv6mapper.checks.finding import Finding, Level, printable
from dockeripv6mapper.controller.jobs import Jobs, Survey
from dockeripv6mapper.controller.logbook import Logbook
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Mapping
from dockeripv6mapper.settings import Settings
from dockeripv6mapper.surroundings import Surroundings


class Reachability:
    """Which networks have been judged."""

    def __init__(self, jobs: Jobs, logbook: Logbook, settings: Settings) -> None:
        self._jobs = jobs
        self._logbook = logbook
        self._settings = settings
        self._judged: set[str] = set()

    def ask(self, container: Container, mapping: Mapping) -> None:
        """A container runs that is to be mapped: once it is, have its network looked at."""
        if mapping.network_id in self._judged:
            return
        if any(endpoint.address == mapping.address for endpoint in container.endpoints):
            self._jobs.ask(Survey(mapping.network_id))

    def judge(self, network_id: str, surroundings: Surroundings, facts: Facts, desired: Desired) -> None:
        """Say what is wrong with the network that was asked about."""
        examined = Examined(self._settings, surroundings, facts, desired, {})
        network = facts.networks.get(network_id)
        if surroundings.engine is None or network is None or not any(examined.mapped(network)):
            # The engine or the container went away meanwhile: the next look at a container there asks again.
            return
        self._judged &= {each.id for each in facts.networks}
        self._judged.add(network_id)
        for finding in inbound.check(examined, network):
            if finding.level is not Level.OK:
                self._logbook.once(network_id, _sentence(finding))


def _sentence(finding: Finding) -> str:
    """A finding in one line, its fix still a line for the shell: a comment would end it."""
    commands = "; ".join(line for line in finding.fix.split("\n") if line and not line.startswith("#"))
    return printable(f"{finding.subject}: {finding.found}: {finding.why} (try: {commands})")
