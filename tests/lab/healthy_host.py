"""A host where `doctor` finds nothing wrong: tests break one thing at a time and run doctor's fix."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.containers import run_labelled, wait_until_mapped
from tests.lab.hosts import Host
from tests.lab.mapper import CHECKOUT, Mapper, run_command
from tests.lab.waiting import eventually

PROGRAM_DIRECTORY = Path(sys.executable).parent
"""The virtual environment's bin, where `DockerIPV6Mapper.py` is installed."""
FIX_SECONDS = 120


@dataclass(frozen=True)
class Finding:
    """A finding whose level is not `ok`, as `doctor --json` prints it."""

    check: str
    subject: str
    level: str
    found: str
    why: str
    fix: str


class HealthyHost:
    """A host with a running mapper and one mapped container with an open port."""

    def __init__(self, host: Host) -> None:
        self.host = host
        # Without these options the daemon would repair a sysctl before `doctor` reports it.
        self.mapper = Mapper(host, "--resync", "3600", "--no-sysctl")
        self.is_healthy = False

    def restore(self) -> None:
        """Set the host up again, unless the previous test left it healthy."""
        if self.is_healthy:
            self.is_healthy = False
            return
        self.tear_down()
        self.set_up()
        self.wait_until_healthy()

    def set_up(self) -> None:
        """Start mapper and container on a reset host, and set the sysctls that doctor reports."""
        ipv6_only = ("--ipv4=false",) if self.host.engine.flavour.filters_ipv6 else ()
        self.host.create_network("he_ipv6", *ipv6_only)
        self.mapper.start()
        self.mapper.wait_for_log("proxying neighbour discovery")
        run_labelled(self.host, "mon_container", "--label", "ipv6.mapper.ports=80")
        wait_until_mapped(self.host)
        for finding in self.findings():
            if finding.check == "sysctl":
                self.paste(finding.fix)

    def tear_down(self) -> None:
        """Stop the daemon and reset the host."""
        self.is_healthy = False
        if self.mapper.running:
            self.mapper.stop()
        self.host.reset()

    def findings(self, *options: str, wrapper: tuple[str, ...] = ()) -> list[Finding]:
        """Return the findings of `doctor` that are not ok; checks that its exit code agrees."""
        done = run_command(self.host, *options, "doctor", "--json", wrapper=wrapper)
        assert done.returncode in (0, 3), done.stderr
        findings = [each for each in json.loads(done.stdout)["findings"] if each["level"] != "ok"]
        assert bool(findings) == (done.returncode == 3)
        return [Finding(**each) for each in findings]

    def paste(self, fix: str, *wrapper: str, path: Path | None = None) -> str:
        """Run shell commands on the host as root, as a user pastes a fix; return their stdout."""
        engine = self.host.engine
        directories = [str(path)] if path else []
        directories += [str(PROGRAM_DIRECTORY), engine.environment["PATH"]]
        environment = engine.environment | {
            "PATH": ":".join(directories),
            "DOCKERIPV6MAPPER_DOCKER_HOST": engine.url,
            "DOCKERIPV6MAPPER_STATE_DIR": str(self.host.state_dir),
        }
        done = subprocess.run(
            self.host.namespace.nsenter(*wrapper, "bash", "-e", "-c", fix),
            cwd=CHECKOUT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=FIX_SECONDS,
            check=False,
        )
        assert done.returncode in (0, 3), f"{fix}\n{done.stdout}{done.stderr}"
        return done.stdout

    def assert_only(self, check: str, subject: str, *options: str, wrapper: tuple[str, ...] = ()) -> Finding:
        """Assert that `doctor` has exactly one finding, and return it."""
        findings = self.findings(*options, wrapper=wrapper)
        assert [(each.check, each.subject) for each in findings] == [(check, subject)], findings
        assert findings[0].why
        return findings[0]

    def await_only(self, check: str, subject: str) -> Finding:
        """Wait up to 10 s until `doctor` has exactly one finding, and return it."""
        with suppress(AssertionError):
            eventually(
                lambda: [(each.check, each.subject) for each in self.findings()] == [(check, subject)],
                within=10,
            )
        return self.assert_only(check, subject)

    def assert_fixed_by(self, fix: str) -> None:
        """Assert that the fix, run as printed, leaves no finding."""
        self.paste(fix)
        self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        """Wait up to 10 s until `doctor` has no finding."""
        with suppress(AssertionError):
            eventually(lambda: not self.findings(), within=10)
        assert self.findings() == []
