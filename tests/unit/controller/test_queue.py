"""The queue: bounded, and it drops nothing that a relist does not replace."""

from dockeripv6mapper.controller.jobs import Finished, ListImages
from dockeripv6mapper.controller.queue import Message, Overflowed, Queue, Stop
from dockeripv6mapper.engine.events import Change, ContainerChanged, Subscribed

EVENT = ContainerChanged("6ba2", Change.OTHER)


def contents(queue: Queue) -> list[Message]:
    """Take all messages."""
    return list(iter(lambda: queue.take(0.0), None))


def filled(*messages: Message) -> Queue:
    """Return a queue of capacity two after these messages were put."""
    queue = Queue(capacity=2)
    for message in messages:
        queue.put(message)
    return queue


def test_messages_are_taken_in_their_order() -> None:
    """First in, first out, below the capacity."""
    assert contents(filled(EVENT, Subscribed())) == [EVENT, Subscribed()]


def test_events_beyond_its_capacity_become_one_relist() -> None:
    """A thousand events leave two events and one `Overflowed`."""
    assert contents(filled(*[EVENT] * 1000)) == [EVENT, EVENT, Overflowed()]


def test_an_event_that_arrives_after_the_overflow_was_taken_is_kept() -> None:
    """The relist may be older than the event."""
    queue = filled(*[EVENT] * 5)
    contents(queue)
    queue.put(EVENT)
    assert contents(queue) == [EVENT]


def test_a_message_that_no_relist_replaces_is_never_dropped() -> None:
    """A job's result, a subscription and a stop."""
    kept: list[Message] = [Finished(ListImages()), Subscribed(), Stop()]
    assert contents(filled(*[EVENT] * 5, *kept)) == [EVENT, EVENT, Overflowed(), *kept]
