"""Filters of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cenote.audit import AuditEvent

__all__ = ["ACTIONS", "Filter"]

ACTIONS: Final = frozenset({"clear", "clear_all", "invalidate", "switch"})
"""What an event may be about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events somebody wants to see; None: no matter.

    Attributes:
        kinds: Their actions.
        status: "success" or "error".
        since: The first moment; one without a zone is in UTC.
        until: The moment before which they ended.
        text: Part of message, reason, actor, key or receipt, in any case.
    """

    kinds: frozenset[str] | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None

    def takes(self, event: AuditEvent) -> bool:
        """Whether an event is one of them."""
        if self.kinds is not None and event.action not in self.kinds:
            return False
        if self.status is not None and event.status != self.status:
            return False
        if self.since is not None or self.until is not None:
            moment = datetime.fromisoformat(event.timestamp)
            if self.since is not None and moment < _in_utc(self.since):
                return False
            if self.until is not None and moment >= _in_utc(self.until):
                return False
        if self.text is None:
            return True
        part = self.text.casefold()
        told = (event.message, event.reason, event.actor, event.key, event.clear_id)
        return any(part in each.casefold() for each in told if each)


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
