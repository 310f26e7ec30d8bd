"""Boot: checks what the engine needs when the host boots, before the mapper runs.

With its nftables backend, an engine does not switch forwarding on. It refuses to create its bridges while it
is off, and does not start where IPv4 forwarding is off (Docker's manual, "Docker with nftables").
"""

from collections.abc import Iterator

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, ok, warn
from dockeripv6mapper.doctor.fixes import quoted
from dockeripv6mapper.mapping.wanted_sysctls import FORWARDING, accept_ra, sysctls_for

CHECK, SUBJECT = "boot", "host"
FILE = "/etc/sysctl.d/90-DockerIPV6Mapper.conf"
ACCEPTS = ("1", "2")
"""Values of `accept_ra` with which a link takes router advertisements."""


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Whether forwarding is on when an engine with nftables starts."""
    if facts.engine is None or not facts.engine.filters_with_nftables:
        return
    if not any(each.ipv6 and each.bridge in facts.system.host.links for each in facts.system.networks):
        return
    if facts.boot_sysctls.get(FORWARDING) == "1":
        yield ok(CHECK, SUBJECT, "a file of sysctl.d switches IPv6 forwarding on at each boot")
        return
    yield warn(
        CHECK,
        SUBJECT,
        "no file of sysctl.d switches IPv6 forwarding on",
        why="with its nftables backend the engine does not do it either: at the next boot, before the mapper "
        "starts, it cannot bring up its networks with IPv6",
        fix=_file(facts),
    )


def _file(facts: DoctorFacts) -> str:
    """The commands that write the file. `accept_ra` comes first, or the host loses default routes."""
    current = facts.system.sysctls
    keys = [key for key, *_ in sysctls_for(facts.desired, facts.system, facts.settings)]
    accepting = [key for key in keys if key.endswith("/accept_ra") and current.get(key) in ACCEPTS]
    changes = [SysctlChange(key, None, "2") for key in accepting or [accept_ra("default")]]
    changes.append(SysctlChange(FORWARDING, None, "1"))
    lines = [f"{each.name} = {each.new}" for each in changes]
    words = " ".join(quoted(line) for line in [*lines, "net.ipv4.ip_forward = 1"])
    return (
        "# then the host forwards between all its links from the boot on: see its firewall\n"
        f"printf '%s\\n' {words} > {FILE}"
    )
