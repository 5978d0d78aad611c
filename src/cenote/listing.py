"""Listings: the identifiers of a cache, and what is known of one entry."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from cenote.core import CacheCore
from cenote.decide import Verdict
from cenote.entry import FOREVER, Entry, ParticularEntry
from cenote.errors import ConfigurationError
from cenote.result import EntryInfo, EntryPage
from cenote.scope import Scope
from cenote.state import NOT_SHARED, State
from cenote.tables import Slot

__all__ = ["describe", "list_entries", "list_keys"]


def list_keys(core: CacheCore, prefix: str | None, tag: str | None, limit: int | None) -> list[str]:
    """Return identifiers in order, at most ``limit``."""
    texts = (text for text, _ in _live(core, prefix, tag))
    return sorted(texts) if limit is None else heapq.nsmallest(limit, texts)


def list_entries(core: CacheCore, prefix: str | None, tag: str | None, cursor: str | None, limit: int) -> EntryPage:
    """Return one page of entries in the order of their identifiers.

    An entry that is there all the while is on exactly one page, whatever comes and goes beside it.
    """
    after = None if cursor is None else _decode(cursor)
    found = heapq.nsmallest(
        limit + 1,
        ((text, entry) for text, entry in _live(core, prefix, tag) if after is None or text > after),
        key=itemgetter(0),
    )
    page = found[:limit]
    items = tuple(describe(core, core.slots[entry.slot], text, entry) for text, entry in page)
    return EntryPage(items, _encode(page[-1][0]) if len(found) > limit else None)


def describe(core: CacheCore, slot: Slot, text: str, entry: Entry | None, key: Any = None) -> EntryInfo:
    """Say what is known of an entry."""
    state = core.current()
    loading = (slot.index, key if entry is None else entry.key) in state.flights
    if entry is None:
        reason = "it is being loaded" if loading else "there is no such entry: never stored, evicted or invalidated"
        return EntryInfo(key=text, found=False, state="missing", reason=reason, loading=loading)
    now = core.now()
    verdict = core.judge(state, entry)
    if verdict is Verdict.DEAD:
        return EntryInfo(key=text, found=False, state="missing", reason="it has expired", loading=loading)
    stale = verdict not in (Verdict.FRESH, Verdict.AHEAD)
    end = entry.hard_until
    if core.options.idle_ttl is not None and isinstance(entry, ParticularEntry):
        end = min(end, entry.used + core.options.idle_ttl)
    return EntryInfo(
        key=text,
        found=True,
        state="stale" if stale else "fresh",
        reason=_reason(state, entry, verdict),
        age=max(0.0, now - entry.born),
        expires_in=None if entry.expires == FOREVER else max(0.0, entry.expires - now),
        hard_end_in=None if end == FOREVER else max(0.0, end - now),
        tags=tuple(sorted(entry.tags)),
        load_seconds=entry.cost,
        size=entry.size if core.options.weigher is not None else None,
        reads=entry.freq,
        birth=max(0, entry.birth),
        error=None if entry.error is None else type(entry.error).__name__,
        loading=loading,
    )


def _reason(state: State, entry: Entry, verdict: Verdict) -> str:
    if verdict is Verdict.FRESH:
        return "it stands for a remembered failure" if entry.error is not None else "it is fresh"
    if verdict is Verdict.AHEAD:
        return "it is fresh, and its next read starts a reload"
    if verdict is Verdict.HELD:
        return "it is stale, and its last reload failed a moment ago"
    if entry.birth < state.soft_floor or entry.birth < 0:
        return "a soft clear marked it stale"
    return "its TTL is over"


def _live(core: CacheCore, prefix: str | None, tag: str | None) -> Iterator[tuple[str, Entry]]:
    """Iterate over what may be served, with its identifier, from a snapshot of each table."""
    core.check_open()
    scope = Scope(prefix=prefix or "")
    state = core.current()
    if core.sharing is not None and state.generation != NOT_SHARED:
        for text, entry in core.sharing.listed(state, prefix or "", core.slot_of):
            if (tag is None or tag in entry.tags) and core.judge(state, entry) is not Verdict.DEAD:
                yield text, entry
        return
    for slot in list(core.slots):
        whole = scope.may_cover(slot)
        if whole is False:
            continue
        with core.lock:
            entries = list(state.store.entries(slot.index))
        for entry in entries:
            if tag is not None and tag not in entry.tags:
                continue
            text = slot.identifier(entry.key)
            if (whole or text.startswith(prefix or "")) and core.judge(state, entry) is not Verdict.DEAD:
                yield text, entry


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _decode(cursor: str) -> str:
    try:
        if not isinstance(cursor, str):
            raise TypeError(cursor)  # noqa: TRY301  # refused in one place
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError, TypeError):
        raise ConfigurationError("cursor is not one that a listing returned") from None
