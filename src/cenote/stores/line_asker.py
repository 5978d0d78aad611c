"""The asker of a store whose server an event loop asks by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cenote.invalidation.network.line import Line

if TYPE_CHECKING:
    from cenote.stores.redis import Name, RedisStore

__all__ = ["LineAsker"]


class LineAsker:
    """What asks for the entries that the tasks of one event loop wait for; see ``Asker``."""

    def __init__(self, line: Line, store: RedisStore) -> None:
        """Ask on a line for entries of a store."""
        self._line = line
        self._store = store

    @property
    def open(self) -> bool:
        """Whether the line has not ended."""
        return self._line.open

    def ask(self, questions: Sequence[Name], done: Callable[[Sequence[bytes | None] | None], None]) -> bool:
        """Ask, and return whether that was possible; ``done`` is called later, with None where a thread should ask."""
        return self._store.read_on(self._line, questions, done)

    def close(self) -> None:
        """Give the line's connection back."""
        self._line.end(whole=True)
