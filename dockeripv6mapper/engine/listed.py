"""Lists from the engine, some items of which may be unreadable.

An item that cannot be read is unknown, and is never assumed to be gone: its ID is kept, with the fault.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dockeripv6mapper.engine.errors import PARSE_ERRORS
from dockeripv6mapper.mapping.networks import SHORT_ID_DIGITS

T = TypeVar("T")

MAX_CAUSE_CHARACTERS = 80
"""Of the cause of a fault: parts of it come from the engine, and may have any length."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The engine's answer to a request for all containers, all networks or all images."""

    items: tuple[T, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """A sentence for each item that cannot be read, by the item's ID."""
    without_id: str | None = None
    """A sentence for the first item that has no readable ID either; None: there is no such item."""

    @property
    def faults(self) -> Mapping[str, str]:
        """The sentences of `unreadable` by the item's ID, and that of `without_id` by ""."""
        return {**self.unreadable, **({} if self.without_id is None else {"": self.without_id})}


def read_list(answer: object, kind: str, read: Callable[[Mapping[str, Any]], T]) -> Listed[T]:
    """Read each item of a list from the engine. `kind` names one item: `container`, `network`.

    Raises `TypeError` where the answer is not a list.
    """
    if not isinstance(answer, list):
        raise TypeError(f"expected a list, got {type(answer).__name__}")
    items: list[T] = []
    unreadable: dict[str, str] = {}
    without_id: str | None = None
    for item in answer:
        try:
            items.append(read(item))
        except PARSE_ERRORS as error:
            fault = f"the engine's list of {kind}s: {{}} cannot be read: {_cause(error)}"
            if item_id := _id(item):
                unreadable[item_id] = fault.format(f"{kind} {ascii(item_id[:SHORT_ID_DIGITS])[1:-1]}")
            else:
                without_id = without_id or fault.format(f"a {kind} without an ID")
    return Listed(tuple(items), unreadable, without_id)


def _id(item: object) -> str | None:
    """The item's ID; None where it has none that is text."""
    item_id = item.get("Id") if isinstance(item, Mapping) else None
    return item_id if isinstance(item_id, str) and item_id else None


def _cause(error: Exception) -> str:
    """The error as text, escaped and shortened: it may contain any text of the engine's."""
    if isinstance(error, KeyError):
        return f"it has no {ascii(error.args[0])[1:-1]}"[:MAX_CAUSE_CHARACTERS]
    return ascii(f"{error}")[1:-1][:MAX_CAUSE_CHARACTERS]
