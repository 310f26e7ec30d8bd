"""The clinic: a host on which all is well, where tests break one thing at a time and paste doctor's fix."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.containers import run_labelled, wait_until_mapped
from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import CHECKOUT, Mapper, run_command
from tests.lab.waiting import eventually

PROGRAM_DIRECTORY = Path(sys.executable).parent
"""Where `DockerIPV6Mapper.py` is installed, besides pytest."""
FIX_SECONDS = 120


@dataclass(frozen=True)
class Finding:
    """A finding that is not `ok`, as `doctor --json` prints it."""

    check: str
    subject: str
    level: str
    found: str
    why: str
    fix: str


class HealthyHost:
    """One host whose mapper runs, with one container mapped at a port that is open."""

    def __init__(self, host: Host) -> None:
        self.host = host
        # Of itself the daemon would put a sysctl right before anybody asked what is wrong.
        self.mapper = Mapper(host, "--resync", "3600", "--no-sysctl")
        self.is_healthy = False

    def restore(self) -> None:
        """Make everything new, unless all is well."""
        if self.is_healthy:
            self.is_healthy = False
            return
        self.tear_down()
        self.set_up()
        self.wait_until_healthy()

    def set_up(self) -> None:
        """Bring mapper and container onto a host without any, and set the sysctls that doctor names."""
        modern = self.host.engine.flavour is Flavour.MODERN
        self.host.create_network("he_ipv6", *(("--ipv4=false",) if modern else ()))
        self.mapper.start()
        self.mapper.wait_for_log("proxying neighbour discovery")
        run_labelled(self.host, "mon_container", "--label", "ipv6.mapper.ports=80")
        wait_until_mapped(self.host)
        for finding in self.findings():
            if finding.check == "sysctl":
                self.paste(finding.fix)

    def tear_down(self) -> None:
        """End the daemon, and leave the host as if new."""
        self.is_healthy = False
        if self.mapper.running:
            self.mapper.stop()
        self.host.reset()

    def findings(self, *options: str, wrapper: tuple[str, ...] = ()) -> list[Finding]:
        """What `doctor` finds wrong now; its exit code says whether it is anything."""
        done = run_command(self.host, *options, "doctor", "--json", wrapper=wrapper)
        assert done.returncode in (0, 3), done.stderr
        found = [each for each in json.loads(done.stdout)["findings"] if each["level"] != "ok"]
        assert bool(found) == (done.returncode == 3)
        return [Finding(**each) for each in found]

    def paste(self, fix: str, *wrapper: str, path: Path | None = None) -> str:
        """Have root's shell on the host do as a fix says; returns what it prints."""
        engine = self.host.engine
        places = [str(path)] if path else []
        places += [str(PROGRAM_DIRECTORY), engine.environment["PATH"]]
        environment = engine.environment | {
            "PATH": ":".join(places),
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
        """Exactly that is found; returns it."""
        found = self.findings(*options, wrapper=wrapper)
        assert [(each.check, each.subject) for each in found] == [(check, subject)], found
        assert found[0].why
        return found[0]

    def await_only(self, check: str, subject: str) -> Finding:
        """Exactly that is found, as soon as the daemon has done what it can; returns it."""
        with suppress(AssertionError):
            eventually(
                lambda: [(each.check, each.subject) for each in self.findings()] == [(check, subject)],
                within=10,
            )
        return self.assert_only(check, subject)

    def assert_fixed_by(self, fix: str) -> None:
        """The fix, pasted as it is printed, is all that it takes."""
        self.paste(fix)
        self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        """Nothing is found, as soon as the daemon has done what it can."""
        with suppress(AssertionError):
            eventually(lambda: not self.findings(), within=10)
        assert self.findings() == []
