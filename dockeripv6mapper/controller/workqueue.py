"""The work queue: the engine calls and the commands that workers make for the loop, and what they bring.

A container is asked about by one job at a time, and acted upon by one action at a time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

from dockeripv6mapper.actions import Connect, EndpointAction, EndpointChange, Reconnect, Restore
from dockeripv6mapper.controller.interfaces import EngineEndpoints, EngineLists, HostKernel
from dockeripv6mapper.engine.cache import Inventory
from dockeripv6mapper.engine.connect_early import Sent
from dockeripv6mapper.engine.spares import SPARES
from dockeripv6mapper.engine.under_way import UnderWay
from dockeripv6mapper.engine.workers import Finished, Workers
from dockeripv6mapper.errors import GoneError
from dockeripv6mapper.model import FirewallRules


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """List containers and networks. Brings a `Snapshot`."""


@dataclass(frozen=True, slots=True)
class ListNetworks:
    """List the networks. Brings a `Listed[Network]`."""


@dataclass(frozen=True, slots=True)
class ListImages:
    """List the images. Brings their labels, by ID and name.

    After a subscription and when they change, not at every pass: engine 29 takes half a second of CPU for it.
    """


@dataclass(frozen=True, slots=True)
class Look:
    """Look at one container. Brings a `Container`, or None where it is gone."""

    container_id: str


@dataclass(frozen=True, slots=True)
class LookAtImage:
    """Look at an image. Brings its labels, or None where it is gone."""

    image: str


@dataclass(frozen=True, slots=True)
class LookAtFirewall:
    """Look at our nft table. Brings the `FirewallRules` that it holds; None: it cannot be listed."""


@dataclass(frozen=True, slots=True)
class WriteFirewall:
    """Make our nft table as `rules` say."""

    rules: FirewallRules


@dataclass(frozen=True, slots=True)
class PutHooks:
    """Put our accepting rules where they are missing. Brings a list of where."""

    mark: int


@dataclass(frozen=True, slots=True)
class CloseForwarding:
    """Close what the engine would have closed when it switches forwarding on. Brings a `Forwarded`."""


FirewallJob = LookAtFirewall | WriteFirewall | PutHooks
KernelJob = FirewallJob | CloseForwarding
"""Commands of nft and iptables, which wait for locks."""

QUESTIONERS = 8
"""Threads that look at one container or image: a look that hangs holds one of them for as long."""
LISTERS = 3
"""Threads that list: one for each kind of list, of which there is one under way at most."""
ACTORS = 8
"""Threads: each connect of a running container takes 75 to 150 ms, or as long as its start."""
FOLLOWERS = SPARES
"""Threads: one for each connect that the events' thread can have begun, so that no answer waits for another.

The engine passes over a connect of a created container that is on the network already, and says that it is
done. Read only after the start, that would look like the connect of a running one, which it does make.
"""

COMMANDERS = 1
"""Threads for the kernel's commands: they change the same rules."""

Question = TakeSnapshot | ListNetworks | ListImages | Look | LookAtImage
Job = Question | KernelJob | EndpointAction
"""An action brings the container as it is afterwards, unless it was attached just as asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job brought, and the inventory's epoch when it was asked for."""

    asked: int
    found: Any
    changed: bool = False
    """Whether an action did anything."""


Deliver = Callable[[Finished[Job]], None]
Employ = Callable[[int, Deliver], Workers[Job]]
"""So many workers, and where they deliver what they have finished."""


class Jobs:
    """The jobs that are under way."""

    def __init__(
        self,
        deliver: Deliver,
        lists: EngineLists,
        endpoints: EngineEndpoints,
        kernel: HostKernel,
        inventory: Inventory,
        *,
        under_way: UnderWay,
        employ: Employ = Workers,
    ) -> None:
        # Actions may hang for as long as a container's start does: questions do not queue behind them.
        self._questioners = employ(QUESTIONERS, deliver)
        self._listers = employ(LISTERS, deliver)
        self._actors = employ(ACTORS, deliver)
        self._followers = employ(FOLLOWERS, deliver)
        self._commanders = employ(COMMANDERS, deliver)
        self._lists = lists
        self._endpoints = endpoints
        self._kernel = kernel
        self._inventory = inventory
        self._asked: set[Job] = set()
        self._list_again = False
        """Whether everything is to be listed once more: a list shows nothing that came after its begin."""
        self.under_way = under_way
        """What the engine is changing; also what the events' thread has begun a moment ago."""

    def ask(self, question: Question | KernelJob) -> None:
        """Have a job done, unless it is being done; a `TakeSnapshot` is made once more afterwards then."""
        if question not in self._asked:
            self._asked.add(question)
            self._submit(self._workers_for(question), question)
        elif isinstance(question, TakeSnapshot):
            self._list_again = True

    def __contains__(self, question: Question | KernelJob) -> bool:
        return question in self._asked

    def act(self, action: EndpointAction) -> bool:
        """Have an action carried out; False where the events' thread has just begun one."""
        if begun := self.under_way.begin(action):
            self._submit(self._actors, action)
        return begun

    def follow(self, sent: Sent) -> None:
        """Await what became of an action that was begun already."""
        action = sent.action
        self._followers.submit(action, lambda: self._changed(action, self._endpoints.conclude(sent)))

    def in_flight(self) -> dict[str, IPv6Address]:
        """The addresses at which the engine is attaching containers now, by the container's ID."""
        actions = self.under_way.all()
        return {each.container_id: each.address for each in actions if isinstance(each, Connect | Reconnect)}

    def done(self, job: Job) -> None:
        """A job came to its end."""
        match job:
            case EndpointChange() | Restore():
                self.under_way.end(job.container_id)
            case _:
                self._asked.discard(job)
                if isinstance(job, TakeSnapshot) and self._list_again:
                    self._list_again = False
                    self.ask(job)

    @property
    def idle(self) -> bool:
        """Whether none is under way that anybody's address waits for."""
        return not self.under_way.all() and not self._asked

    @property
    def commanding(self) -> bool:
        """Whether a command of the kernel's side is under way."""
        return any(isinstance(each, KernelJob) for each in self._asked)

    def stop(self) -> None:
        """Take no more jobs."""
        self._questioners.stop()
        self._listers.stop()
        self._actors.stop()
        self._followers.stop()
        self._commanders.stop()

    def _workers_for(self, question: Question | KernelJob) -> Workers[Job]:
        match question:
            case LookAtFirewall() | WriteFirewall() | PutHooks() | CloseForwarding():
                return self._commanders
            case TakeSnapshot() | ListNetworks() | ListImages():
                return self._listers
            case Look() | LookAtImage():
                return self._questioners

    def _submit(self, workers: Workers[Job], job: Job) -> None:
        workers.submit(job, lambda: self._carry_out(job))

    def _carry_out(self, job: Job) -> Answer:
        """Do one job, on a worker's thread: of the inventory it may only read the epoch."""
        if isinstance(job, EndpointChange | Restore):
            return self._changed(job, self._endpoints.apply(job))
        asked = self._inventory.epoch
        found = self._command(job) if isinstance(job, KernelJob) else self._find_out(job)
        return Answer(asked, found)

    def _command(self, job: KernelJob) -> object:
        match job:
            case LookAtFirewall():
                return self._kernel.observe_firewall()
            case WriteFirewall(rules):
                self._kernel.apply_firewall(rules)
                return None
            case PutHooks(mark):
                return self._kernel.check_hooks(mark)
            case CloseForwarding():
                return self._kernel.close_forwarding()

    def _find_out(self, question: Question) -> object:
        match question:
            case Look(container_id):
                return self._lists.container(container_id)
            case LookAtImage(image):
                return _image_labels(image, self._lists)
            case ListNetworks():
                return self._lists.networks()
            case ListImages():
                return self._lists.images()
            case TakeSnapshot():
                return self._lists.snapshot()

    def _changed(self, action: EndpointAction, changed: bool) -> Answer:
        asked = self._inventory.epoch
        if changed and isinstance(action, Connect | Reconnect):
            # What came of it is known, and packets wait for it.
            return Answer(asked, None, changed=True)
        return Answer(asked, self._lists.container(action.container_id), changed=changed)


def _image_labels(image: str, lists: EngineLists) -> Mapping[str, str] | None:
    try:
        return lists.image_labels(image)
    except GoneError:
        return None
