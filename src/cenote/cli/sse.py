"""Server-sent events: blocks of ``field: value`` lines, each ended by an empty line."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["EventReader"]

_LONGEST: Final = 16 * 1024 * 1024


class EventReader:
    """Puts the lines of a stream together to events.

    Attributes:
        last_id: The id of the last event, for ``Last-Event-ID``; empty before the first.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self._block: dict[str, str] = {}
        self._size = 0

    def feed(self, line: str) -> tuple[str, dict[str, Any]] | None:
        """Take the next line.

        Args:
            line: The line, without its end.

        Returns:
            The kind of an event and its data when this line ended one, else None. Comments, and what is no
            JSON object, are passed over.

        Raises:
            ValueError: The event has no end.
        """
        if line:
            name, _, value = line.partition(":")
            self._block[name] = value.removeprefix(" ")
            self._size += len(line)
            if self._size > _LONGEST:
                raise ValueError("an event without an end")
            return None
        block, self._block, self._size = self._block, {}, 0
        try:
            data = json.loads(block.get("data", "null"))
        except ValueError:
            return None
        if not isinstance(data, dict):
            return None
        self.last_id = block.get("id", self.last_id)
        return block.get("event", "message"), data
