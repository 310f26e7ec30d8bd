"""A Docker Swarm of hosts of the lab."""

from collections.abc import Sequence
from ipaddress import IPv6Address

from tests.lab.containers import LABEL, suffix_of, wait_until_mapped
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.waiting import eventually


class Swarm:
    """A swarm whose manager is the last host. `Host.reset` makes a host leave it."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = hosts
        self.manager = hosts[-1]

    def form(self) -> None:
        """Initialise the swarm on the manager, and let the other hosts join."""
        self.manager.engine.docker("swarm", "init", *_advertised(self.manager))
        token = self.manager.engine.docker("swarm", "join-token", "--quiet", "worker")
        for host in self.hosts:
            if host is not self.manager:
                remote = f"[{self.manager.address}]:2377"
                host.engine.docker("swarm", "join", "--token", token, *_advertised(host), remote)

    def node_id(self, host: Host) -> str:
        """Return the node ID, for a placement constraint: the hostname is the same on all nodes."""
        return host.engine.docker("info", "--format", "{{.Swarm.NodeID}}")

    def create_service(self, name: str, *options: str, command: Sequence[str] = ()) -> None:
        """Create a labelled service; `command` replaces the image's command."""
        label = ("--container-label", LABEL[1])
        # The engine's `--init` does not apply to tasks; as PID 1, `sleep` ignores SIGTERM.
        fast = ("--detach", "--restart-delay", "0s", "--init", "--no-resolve-image")
        created = ("service", "create", "--name", name, *label, *fast, *options, IMAGE, *command)
        self.manager.engine.docker(*created)

    def update_service(self, *options: str) -> None:
        """Update the service `web`, so that its tasks are replaced."""
        self.manager.engine.docker("service", "update", "--detach", *options, "web")

    def wait_for_task_address(self, host: Host) -> IPv6Address:
        """Wait until the node's task has the address of its service and slot; return the address."""
        name = eventually(lambda: task_name(host))
        identity, _, _ = name.rpartition(".")
        return wait_until_mapped(host, name, suffix_of(identity))


def task_name(host: Host) -> str:
    """Return the name of the only running container of the service `web` on a node."""
    listing = ("ps", "--filter", "label=com.docker.swarm.service.name=web", "--format", "{{.Names}}")
    names = host.engine.docker(*listing).split()
    assert len(names) == 1, names
    return names[0]


def _advertised(host: Host) -> tuple[str, ...]:
    return ("--advertise-addr", str(host.address), "--listen-addr", f"[{host.address}]:2377")
