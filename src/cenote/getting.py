"""Getting: reads without a loader, where no copy in memory serves them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

from cenote.approach import apart, stale_while_loading
from cenote.core import CacheCore

if TYPE_CHECKING:
    from cenote.entry import Entry
    from cenote.invalidation.log import Seen
    from cenote.reading import FarReader, Look
    from cenote.state import State
    from cenote.tables import Slot

__all__ = ["aget_far", "aserve", "get_each", "get_slowly"]


def get_slowly(core: CacheCore, key: str, default: Any) -> Any:
    """Do what ``get`` does for a key that no copy in memory serves."""
    if core.far:
        far = cast("FarReader", core)
        look = _look(far, key, far.ask())
        if look is None:
            return default
        raw = far.read(look)
        served, value = far.value_at_once(look, raw)
        return value if served else _served(far, look, far.entry_of(look, raw), default)
    if core.sharing is not None and isinstance(key, str):
        found, value = core.read_through(key)
        if found:
            return value
    core.check_open()
    slot, place = core.place_of(key)
    if place is not None:
        state = core.current()
        found, value = stale_while_loading(core, state, slot, core.seek(slot, place))
        if found:
            return value
    core.count_miss(slot)
    return default


async def aget_far(core: FarReader, key: str, default: Any) -> Any:
    """Do what ``get_slowly`` does for a cache of many machines; no event loop stands still meanwhile."""
    look = _look(core, key, await core.aask() if core.must_ask() else None)
    if look is None:
        return default
    raw = None if look.name is None else await core.aread(look.name)
    served, value = core.value_at_once(look, raw)
    return value if served else await aserve(core, look, raw, default)


async def aserve(core: FarReader, look: Look, raw: bytes | None, default: Any) -> Any:
    """End a look that does not end at once with a value, as ``get_slowly`` does."""
    return _served(core, look, await core.aentry_of(look, raw), default)


def get_each(core: CacheCore, values: dict[str, Any], lacking: object) -> dict[str, Any]:
    """Return the values of keys, and ask the server once for all that memory does not have.

    Args:
        core: The cache.
        values: What memory has.
        lacking: What stands there for the others.
    """
    found = {key: value for key, value in values.items() if value is not lacking}
    if len(found) == len(values) or apart(core):
        return found
    core.check_open()
    places = [(key, *core.place_of(key)) for key in values if key not in found]
    seen = core.ask()
    state = core.abreast(seen)
    sought = iter(core.seek_each([(slot, place) for _, slot, place in places if place is not None], seen))
    for key, slot, place in places:
        served, value = (False, None) if place is None else stale_while_loading(core, state, slot, next(sought))
        if not served and place is not None:
            served, value = _doubtful(core, state, slot, place)
        if served:
            found[key] = value
        else:
            core.count_miss(slot)
    return {key: found[key] for key in values if key in found}


def _look(core: FarReader, key: str, seen: Seen | None) -> Look | None:
    if apart(core):
        return None
    core.check_open()
    slot, place = core.place_of(key)
    if place is None:
        core.count_miss(slot)
        return None
    return core.look_for(slot, place, seen)


def _served(core: FarReader, look: Look, entry: Entry | None, default: Any) -> Any:
    found, value = stale_while_loading(core, look.state, look.slot, entry)
    if not found:
        found, value = _doubtful(core, look.state, look.slot, look.key)
    if found:
        return value
    core.count_miss(look.slot)
    return default


def _doubtful(core: CacheCore, state: State, slot: Slot, key: Hashable) -> tuple[bool, Any]:
    """Serve a copy that nobody can verify, where that may be served."""
    if state.doubtful is None:
        return False, None
    with core.lock:
        found, value = core.doubtful(state, slot, key, failed=False)
    if not found:
        return False, None
    core.count_slot_hit(slot)
    core.count_stale()
    return True, core.hand_out(value)
