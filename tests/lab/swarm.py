"""Swarm: the lab's engines as the nodes of one, the newest its manager."""

from collections.abc import Sequence
from ipaddress import IPv6Address

from tests.lab.containers import LABEL, suffix_of, wait_until_mapped
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.topology import Lab
from tests.lab.waiting import eventually


class Swarm:
    """A swarm of all hosts. A host's `reset` has it leave."""

    def __init__(self, lab: Lab) -> None:
        self.hosts = lab.hosts
        self.manager = lab.hosts[-1]

    def form(self) -> None:
        """Make a swarm of the manager, and have the others join it."""
        self.manager.engine.docker("swarm", "init", *_advertised(self.manager))
        token = self.manager.engine.docker("swarm", "join-token", "--quiet", "worker")
        for host in self.hosts:
            if host is not self.manager:
                door = f"[{self.manager.address}]:2377"
                host.engine.docker("swarm", "join", "--token", token, *_advertised(host), door)

    def node_id(self, host: Host) -> str:
        """What a placement constraint calls a node; by hostname they are all the machine."""
        return host.engine.docker("info", "--format", "{{.Swarm.NodeID}}")

    def create_service(self, name: str, *options: str, command: Sequence[str] = ()) -> None:
        """Create a labelled service, whose tasks run the image's own command or another."""
        label = ("--container-label", LABEL[1])
        # Unlike a container, a task has no init unless it asks for one, and `sleep` alone ignores a stop.
        prompt = ("--detach", "--restart-delay", "0s", "--init", "--no-resolve-image")
        created = ("service", "create", "--name", name, *label, *prompt, *options, IMAGE, *command)
        self.manager.engine.docker(*created)

    def update_service(self, *options: str) -> None:
        """Update the service `web`, which replaces its tasks."""
        self.manager.engine.docker("service", "update", "--detach", *options, "web")

    def wait_for_task_address(self, host: Host) -> IPv6Address:
        """Wait for a node's task to be mapped at the address of its service and slot."""
        name = eventually(lambda: task_name(host))
        identity, _, _ = name.rpartition(".")
        return wait_until_mapped(host, name, suffix_of(identity))


def task_name(host: Host) -> str:
    """The one running container of the service `web` on a node, by name."""
    listing = ("ps", "--filter", "label=com.docker.swarm.service.name=web", "--format", "{{.Names}}")
    names = host.engine.docker(*listing).split()
    assert len(names) == 1, names
    return names[0]


def _advertised(host: Host) -> tuple[str, ...]:
    return ("--advertise-addr", str(host.address), "--listen-addr", f"[{host.address}]:2377")
