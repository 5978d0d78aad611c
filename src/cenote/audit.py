"""The audit trail: who cleared what, when, how much of it, and how far it reached."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from cenote import locks
from cenote.clock import Clock
from cenote.meters import CLEAR_KINDS, Durations
from cenote.register import ClearRegister

__all__ = ["AuditEvent", "AuditTrail", "timestamp_of"]

KEPT_EVENTS: Final = 1000

WARN_SECONDS: Final = 1.0
"""For how long after a failure was a warning in the logs others are none."""

logger = logging.getLogger("cenote.audit")


def timestamp_of(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC, ending in Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit trail.

    Attributes:
        action: "clear", "clear_all", "invalidate" or "switch".
        id: Its number, growing by one with each event.
        timestamp: ISO 8601 in UTC, ending in Z.
        service: The service; None is the global cache, or all of them for clear_all.
        mode: "hard" or "soft"; None where it has no meaning.
        status: "success" or "error".
        entries: How many entries it took.
        duration: Seconds that it took.
        level: The guarantee reached.
        reason: Why, in the words of whoever did it.
        actor: Who did it, as far as known.
        clear_id: The receipt of a clear.
        key: The key, for an invalidation.
        tags: The tags that a clear was restricted to.
        prefix: The prefix that it was restricted to.
        message: One sentence for people.
    """

    action: str
    id: int = 0
    timestamp: str = ""
    service: str | None = None
    mode: str | None = None
    status: str = "success"
    entries: int = 0
    duration: float = 0.0
    level: str = "process"
    reason: str | None = None
    actor: str | None = None
    clear_id: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    prefix: str | None = None
    message: str = ""


def _log(event: AuditEvent, level: int) -> None:
    if logger.isEnabledFor(level):
        everything = event.action == "clear_all" or (event.action == "switch" and event.service is None)
        fields = {
            "action": event.action,
            "actor": event.actor,
            "cache": None if everything else event.service or "(global)",
            "clear_id": event.clear_id,
            "duration": event.duration,
            "entries": event.entries,
            "key": event.key,
            "mode": event.mode,
            "reach": event.level,
            "reason": event.reason,
            "status": event.status,
        }
        logger.log(level, "%s", event.message, extra=fields)


class AuditTrail:
    """The last events, and whoever wants to hear of new ones."""

    def __init__(self, clock: Clock, kept: int = KEPT_EVENTS) -> None:
        """Make an empty trail.

        Args:
            clock: Where timestamps come from.
            kept: How many events to keep.
        """
        self._clock = clock
        self._lock = locks.make_lock()
        self._events: deque[AuditEvent] = deque(maxlen=kept)
        self._last = 0
        self._warned_at = -math.inf
        self._durations = {kind: Durations() for kind in CLEAR_KINDS}
        self._listeners: list[Callable[[AuditEvent], None]] = []
        self.register = ClearRegister(clock)
        """The clears under way, and the last ones."""

    def record(self, event: AuditEvent) -> AuditEvent:
        """Number, date and keep an event, and tell the listeners.

        Returns:
            The event as it was kept.
        """
        moment = timestamp_of(datetime.fromtimestamp(self._clock.time(), UTC))
        with self._lock:
            self._last += 1
            kept = replace(event, id=self._last, timestamp=event.timestamp or moment)
            self._events.append(kept)
            if event.action in ("clear", "clear_all"):
                self._durations[kept.level, kept.status].note(kept.duration)
            listeners = list(self._listeners)
            level = self._level_of(kept)
        _log(kept, level)
        for listener in listeners:
            try:
                listener(kept)
            except Exception:
                logger.exception("a listener of the audit trail failed")
        return kept

    def _level_of(self, event: AuditEvent) -> int:
        """Return how urgent a record is: whoever tries again at once hears of each failure himself."""
        now = self._clock.monotonic()
        if event.status == "success" or now - self._warned_at < WARN_SECONDS:
            return logging.INFO
        self._warned_at = now
        return logging.WARNING

    def events(self, limit: int = 100, after: int = 0) -> list[AuditEvent]:
        """Return the newest events, oldest first.

        Args:
            limit: How many at most.
            after: Only events with a higher id.
        """
        with self._lock:
            events = [event for event in self._events if event.id > after]
        return events[-limit:] if limit > 0 else []

    def durations(self) -> dict[tuple[str, str], Durations]:
        """Return how long clears took that this process was asked for, by level and status."""
        with self._lock:
            return {kind: Durations.of(each.words()) for kind, each in self._durations.items()}

    def subscribe(self, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function with every new event, in the thread that caused it; it must be quick.

        Returns:
            A function that ends the subscription.
        """
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def after_fork(self) -> None:
        """Replace the lock in a forked child, and forget the parent's listeners and counts."""
        self._lock = locks.make_lock()
        self._durations = {kind: Durations() for kind in CLEAR_KINDS}
        self._listeners = []
        self.register.after_fork()
