"""Results: what an operation says it did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

__all__ = ["ClearResult", "EntryInfo", "EntryPage", "Miss", "Mode"]

Mode = Literal["hard", "soft"]
"""Whether a clear removes entries or marks them stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearResult:
    """What a clear did, and how far its promise reaches.

    Attributes:
        status: "success" or "error".
        message: One sentence for people.
        entries_cleared: How many live entries went (dry run: would go; soft: turned stale).
        cleared_items: Identifiers of such entries, at most ``max_items``.
        items_truncated: Whether there were more than are listed.
        level: The guarantee reached: "process", "machine" or "network".
        clear_id: The receipt, also in the audit trail.
        timestamp: When it was done, in UTC.
        duration: Seconds that it took.
        mode: "hard" or "soft".
        dry_run: Whether nothing was removed.
        count_exact: Whether ``entries_cleared`` is exact; else it is an estimate, and of a dry run the least.
        acknowledged: The machines that said that they serve nothing older.
        lapsed: Those that did not say so in time, and were waited for until they could not serve anything older.
    """

    status: Literal["success", "error"]
    message: str
    entries_cleared: int
    cleared_items: tuple[str, ...]
    items_truncated: bool
    level: str
    clear_id: str
    timestamp: datetime
    duration: float
    mode: Mode = "hard"
    dry_run: bool = False
    count_exact: bool = True
    acknowledged: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryInfo:
    """What is known of one entry; its value is not part of it.

    Attributes:
        key: Its identifier.
        found: Whether there is such an entry.
        state: "fresh", "stale" (served only while it is reloaded, or should the reload fail) or "missing".
        reason: One sentence on why it is in that state.
        age: Seconds since its load began.
        expires_in: Seconds until it turns stale; None when never.
        hard_end_in: Seconds until it cannot be served at all; None when never.
        tags: Its tags, sorted.
        load_seconds: Seconds that its load took; 0 when it was set.
        size: Its bytes as the weigher counts them; None without a weigher.
        reads: How often it was read, as far as the eviction policy counts.
        birth: The log sequence applied when its load began.
        error: The remembered failure, when it stands for one.
        loading: Whether a load for it is under way.
    """

    key: str
    found: bool
    state: Literal["fresh", "stale", "missing"]
    reason: str = ""
    age: float | None = None
    expires_in: float | None = None
    hard_end_in: float | None = None
    tags: tuple[str, ...] = ()
    load_seconds: float | None = None
    size: int | None = None
    reads: int = 0
    birth: int | None = None
    error: str | None = None
    loading: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Why a key is missing, or why its last load was needed, as far as this process knows.

    Attributes:
        why: "neverLoaded", "expired", "evicted", "cleared", "invalidated", "notStored", "loadFailed" or "unknown".
        sentence: The same for people.
        when: When the entry went, in UTC; None where that is not known.
        clear_id: The receipt of the clear, where this process made it.
    """

    why: str
    sentence: str
    when: datetime | None = None
    clear_id: str | None = None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """One page of a listing, in the order of identifiers.

    Attributes:
        items: The entries.
        cursor: What to ask the next page with; None on the last page.
    """

    items: tuple[EntryInfo, ...]
    cursor: str | None
