"""The decision of every read, pure: what an entry is worth now. Sync and async reads share it."""

from __future__ import annotations

from enum import Enum, auto

from cenote.entry import Entry, ParticularEntry
from cenote.options import CacheOptions

__all__ = ["Verdict", "decide"]


class Verdict(Enum):
    """What a read may do with an entry."""

    FRESH = auto()
    """Serve it."""

    AHEAD = auto()
    """Serve it, and reload it in the background before it turns stale."""

    HELD = auto()
    """Serve it though it is stale: its reload failed a moment ago."""

    STALE = auto()
    """Serve it while one caller reloads it."""

    FAILSAFE = auto()
    """Serve it only if its reload fails."""

    DEAD = auto()
    """Do not serve it."""


def decide(entry: Entry, now: float, soft_floor: int, options: CacheOptions) -> Verdict:
    """Decide what a read may do with an entry of the State that it looked in.

    Args:
        entry: The entry.
        now: Monotonic seconds.
        soft_floor: The State's soft floor: entries with an earlier birth were cleared softly.
        options: The cache's options.

    Returns:
        The verdict.
    """
    if now >= entry.hard_until:
        return Verdict.DEAD
    particular = entry if isinstance(entry, ParticularEntry) else None
    if particular is not None and options.idle_ttl is not None and now >= particular.used + options.idle_ttl:
        return Verdict.DEAD
    expires = entry.expires
    if entry.birth >= soft_floor and now < expires:
        ahead = options.refresh_ahead is not None and now >= entry.fresh_until
        if ahead and entry.error is None and particular is not None and now >= particular.retry_at:
            return Verdict.AHEAD
        return Verdict.FRESH
    if entry.error is not None:
        return Verdict.DEAD
    if particular is not None and now < particular.retry_at:
        return Verdict.HELD
    if now < expires + options.stale_while_revalidate:
        return Verdict.STALE
    return Verdict.FAILSAFE if options.fail_safe and now < expires + options.fail_safe else Verdict.DEAD
