"""An nft that is older than another program's: what it dies of, and what the mapper then does and says.

The old one is nft 1.0.6 of Debian 12, the newer one that of the modern engine's root. An engine of its own
root, or a program in a container, brings its own nft.
"""

import json
import os
from collections.abc import Iterator

import pytest

from dockeripv6mapper.kernel import nft_ruleset
from dockeripv6mapper.model import FirewallRules, Opening
from tests.lab.commands import CommandError, run
from tests.lab.containers import LABEL, addresses_inside, wait_until_mapped
from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.namespaces import Namespace
from tests.lab.prerequisites import MODERN, SERVICE, RootFilesystem, missing
from tests.lab.topology import Lab
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, NGINX

KILLER = "table ip6 killer {\n set names { type ifname; }\n}\n"
"""A table that nft 1.0.6 cannot read if nft 1.1.3 or later wrote it."""
RULES = FirewallRules(
    0x01000000,
    frozenset({Opening(MON_CONTAINER, "tcp", 80, 80), Opening(MON_CONTAINER, "udp", 53, 60)}),
    frozenset({MON_CONTAINER, NGINX}),
    ("up0",),
)


def nft(namespace: Namespace, root: RootFilesystem, *args: str, stdin: str | None = None) -> str:
    """Run a root's nft in a network namespace; return what it prints."""
    return namespace.run("chroot", str(root.path), "nft", *args, stdin=stdin).stdout


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace without links."""
    if reason := missing():
        refuse = pytest.fail if "CI" in os.environ else pytest.skip
        refuse(f"the roots need {reason}")
    namespace = Namespace(f"dim-{os.getpid()}-nft")
    namespace.create()
    try:
        yield namespace
    finally:
        namespace.delete()


@pytest.mark.parametrize(("writer", "reader"), [(MODERN, SERVICE), (SERVICE, MODERN)], ids=["new", "old"])
def test_our_table_can_be_read_by_an_nft_of_another_age(
    namespace: Namespace, writer: RootFilesystem, reader: RootFilesystem
) -> None:
    """A mapper in a container must not disable the host's nft, nor the other way round."""
    nft(namespace, writer, "-f", "-", stdin=nft_ruleset.rebuild(RULES))
    nft(namespace, reader, "-j", "list", "ruleset")
    listed = nft(namespace, reader, "-j", "list", "table", *nft_ruleset.TABLE.split())
    structure, rules = nft_ruleset.read(listed)
    assert structure == nft_ruleset.structure(RULES)
    assert (rules.openings, rules.closed) == (RULES.openings, RULES.closed)
    fewer = FirewallRules(RULES.mark, frozenset(), RULES.closed, RULES.uplinks)
    nft(namespace, reader, "-f", "-", stdin=nft_ruleset.change(fewer, RULES))


@pytest.fixture
def old_nft(lab: Lab) -> Iterator[tuple[Host, tuple[str, ...]]]:
    """A host, and the prefix of a command that finds nft 1.0.6 there."""
    host = lab.host(Flavour.OLDEST)
    host.reset()
    host.create_network()
    directory = host.workdir / "old"
    directory.mkdir(exist_ok=True)
    program = directory / "nft"
    program.write_text(f'#!/bin/sh\nexec chroot {SERVICE.path} nft "$@"\n')
    program.chmod(0o755)
    yield host, ("env", f"PATH={directory}:{os.environ['PATH']}")
    newer = host.namespace.nsenter("chroot", str(MODERN.path), "nft")
    run(*newer, "delete", "table", "ip6", "killer", check=False)
    host.reset()


def test_an_nft_that_dies_opens_nothing_and_is_named(old_nft: tuple[Host, tuple[str, ...]]) -> None:
    """With `--firewall closed` a container stays without its address until it can be closed."""
    host, wrapper = old_nft
    nft(host.namespace, MODERN, "-f", "-", stdin=KILLER)
    with pytest.raises(CommandError):
        nft(host.namespace, SERVICE, "list", "ruleset")
    closed = ("--firewall", "closed")
    with Mapper(host, *closed, "--resync", "2", wrapper=wrapper) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        options = ("--name", "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        host.engine.docker("run", "-d", *options, IMAGE)
        mapper.wait_for_log(
            r"nft died of SIG\w+: this nft \(1\.0\.6\) probably cannot read rules that a newer one wrote"
        )
        findings = json.loads(run_command(host, *closed, "doctor", "--json", wrapper=wrapper).stdout)[
            "findings"
        ]
        (finding,) = (each for each in findings if "nft died" in each["found"])
        assert (finding["level"], finding["check"]) == ("fail", "tool")
        assert "install a newer nftables" in finding["fix"]
        status = run_command(host, *closed, "status", "--json", wrapper=wrapper)
        (shown,) = json.loads(status.stdout)["containers"]
        assert (shown["state"], status.returncode) == ("pending", 3)
        assert not addresses_inside(host, "mon_container")
        nft(host.namespace, MODERN, "delete", "table", "ip6", "killer")
        eventually(lambda: wait_until_mapped(host), within=15)
        nft(host.namespace, MODERN, "-f", "-", stdin=KILLER)
    done = run_command(host, "cleanup", wrapper=wrapper)
    assert "removed table ip6 dockeripv6mapper" in done.stdout
