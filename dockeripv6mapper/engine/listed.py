"""Lists of the engine, of which some items may be unreadable.

An item that cannot be read is unknown. It is never taken for gone, so its ID is kept, with what is wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dockeripv6mapper.engine.errors import PARSE_ERRORS
from dockeripv6mapper.mapping.networks import SHORT_ID_DIGITS

T = TypeVar("T")

CAUSE_CHARACTERS = 80
"""Of what is wrong with an item: the text may be anything."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """One answer of the engine to a question for all containers, or for all networks."""

    items: tuple[T, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """What cannot be read, as a sentence for people; by the item's ID."""
    nameless: str | None = None
    """The same of the first item that has not even an ID."""

    @property
    def faults(self) -> Mapping[str, str]:
        """All that cannot be read, by the item's ID; "" stands for those without one."""
        return {**self.unreadable, **({} if self.nameless is None else {"": self.nameless})}


def read_list(answer: object, kind: str, read: Callable[[Mapping[str, Any]], T]) -> Listed[T]:
    """Read each item of a list of the engine's. `kind` is what an item is: `container`, `network`.

    Raises `TypeError` where the answer is no list at all.
    """
    if not isinstance(answer, list):
        raise TypeError(f"expected a list, got {type(answer).__name__}")
    items: list[T] = []
    unreadable: dict[str, str] = {}
    nameless: str | None = None
    for item in answer:
        try:
            items.append(read(item))
        except PARSE_ERRORS as error:
            what = f"the engine's list of {kind}s: {{}} cannot be read: {_cause(error)}"
            if item_id := _id(item):
                unreadable[item_id] = what.format(f"{kind} {ascii(item_id[:SHORT_ID_DIGITS])[1:-1]}")
            else:
                nameless = nameless or what.format(f"a {kind} without an ID")
    return Listed(tuple(items), unreadable, nameless)


def _id(item: object) -> str | None:
    """The item's ID, if it has one that is text."""
    found = item.get("Id") if isinstance(item, Mapping) else None
    return found if isinstance(found, str) and found else None


def _cause(error: Exception) -> str:
    """What is wrong, for people: the engine's text may be in it, so it is escaped and shortened."""
    if isinstance(error, KeyError):
        return f"it has no {ascii(error.args[0])[1:-1]}"[:CAUSE_CHARACTERS]
    return ascii(f"{error}")[1:-1][:CAUSE_CHARACTERS]
