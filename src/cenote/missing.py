"""Missing: why a key is not there, told from what was noted when entries went."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Final

from cenote.core import CacheCore
from cenote.decide import Verdict
from cenote.departures import Departure, Fate
from cenote.entry import Entry
from cenote.result import Miss
from cenote.tables import Slot

__all__ = ["why_missing"]

_WHY: Final = {
    Fate.EVICTED: ("evicted", "it was evicted to make room"),
    Fate.EXPIRED: ("expired", "its time was over"),
    Fate.INVALIDATED: ("invalidated", "it was invalidated: by its key, a tag or a prefix"),
    Fate.NOT_STORED: ("notStored", "it was loaded and not to be kept: its TTL was 0, or cache_if said so"),
    Fate.FAILED: ("loadFailed", "its last load failed"),
    Fate.CLEARED: ("cleared", "the whole cache was cleared"),
}
_UNKNOWN: Final = Miss(why="unknown", sentence="this process does not know: nothing is noted of this key any more")
_NEVER: Final = Miss(why="neverLoaded", sentence="this process has never stored a value of this key")


def why_missing(core: CacheCore, slot: Slot, key: Hashable | None, entry: Entry | None) -> Miss:
    """Say why a key is missing, or, where an entry is there, why its last load was needed.

    Args:
        core: The cache.
        slot: The key's table.
        key: The key there; None where its text does not tell it.
        entry: The entry that was found.
    """
    if key is None:
        return _UNKNOWN
    noted = core.departures.find(slot.index, key)
    if noted is not None:
        return _told(core, noted)
    if entry is not None and core.judge(core.current(), entry) is Verdict.DEAD:
        return _told(core, Departure(Fate.EXPIRED, min(entry.hard_until, core.now())))
    return _UNKNOWN if core.departures.lost or core.sharing is not None else _NEVER


def _told(core: CacheCore, departure: Departure) -> Miss:
    why, sentence = _WHY[departure.fate]
    when, clear_id = departure.when, None
    if departure.fate is Fate.CLEARED:
        # The time of a departure is known in whole seconds.
        clears = [clear for clear in list(core.clears) if clear[1] < when + 1]
        if clears:
            _, when, clear_id = clears[-1]
            sentence += f" ({clear_id})" if clear_id else ", by another process"
    moment = datetime.fromtimestamp(core.clock.time() - core.now() + when, UTC)
    return Miss(why=why, sentence=sentence, when=moment, clear_id=clear_id)
