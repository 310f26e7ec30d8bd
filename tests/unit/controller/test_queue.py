"""The mailbox: bounded where it may be, and nothing is lost that a look at everything does not find."""

from dataclasses import replace

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.controller.queue import Message, Overflowed, Queue, Stop
from dockeripv6mapper.engine.events import Change, ContainerChanged, ImagesChanged, Subscribed
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER
from tests.unit.controller.world import sent

HINT = ContainerChanged("6ba2", Change.OTHER)
SENT = sent(Connect("6ba2", "mon_container", HE_IPV6_ID, HE_IPV6, MON_CONTAINER))


def contents(mailbox: Queue) -> list[Message]:
    """All that waits, taken."""
    return list(iter(lambda: mailbox.take(0.0), None))


def filled(*messages: Message) -> Queue:
    """A mailbox for two messages, with these left in it."""
    mailbox = Queue(capacity=2)
    for message in messages:
        mailbox.put(message)
    return mailbox


def test_messages_are_taken_in_their_order() -> None:
    """As long as they are few."""
    assert contents(filled(HINT, Subscribed())) == [HINT, Subscribed()]


def test_hints_beyond_its_capacity_become_one_look_at_everything() -> None:
    """However many there are."""
    assert contents(filled(*[HINT] * 1000)) == [HINT, HINT, Overflowed()]


def test_a_hint_after_an_overflow_was_taken_is_kept_again() -> None:
    """What is looked at then may be older."""
    mailbox = filled(*[HINT] * 5)
    contents(mailbox)
    mailbox.put(HINT)
    assert contents(mailbox) == [HINT]


def test_what_no_look_can_replace_is_never_dropped() -> None:
    """A connect that was begun has to be followed, the fast path counts images, and a stop is a stop."""
    sent = replace(HINT, change=Change.CREATED, sent=SENT)
    kept: list[Message] = [sent, ImagesChanged(), Subscribed(), Stop()]
    assert contents(filled(*[HINT] * 5, *kept)) == [HINT, HINT, Overflowed(), *kept]
