"""Far caches: those whose entries live at a server, and whose reads rely on a lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from cenote.aloading import aload
from cenote.approach import LATER
from cenote.audit import AuditTrail
from cenote.bypass import bypassed, bypasses
from cenote.cache import Cache
from cenote.clock import lease_clock
from cenote.core import CacheCore
from cenote.entry import FOREVER, GONE
from cenote.getting import aget_far, aserve, get_slowly
from cenote.keys import check_key
from cenote.options import UNSET
from cenote.tables import GIL
from cenote.terms import Terms

if TYPE_CHECKING:
    from cenote.reading import FarReader

__all__ = ["FarCache"]


class FarCache(Cache):
    """A cache of many machines.

    Hits look at the State that was in force at the last miss, and not at the root: what leaves force, and what has not
    obeyed the last record, does not carry the number that the log's word has.
    """

    def __init__(self, core: CacheCore, audit: AuditTrail) -> None:
        """Wrap a core; users call ``CacheManager.service`` instead."""
        super().__init__(core, audit)
        self._reader = cast("FarReader", core)
        self._state: Any = core.state

    def get(self, key: str, default: Any = None) -> Any:
        """Do what ``Cache.get`` does, with the lease; written out, since a call would cost a quarter of the hit."""
        if bypasses.open and bypassed():
            return default
        state = self._state
        if state.word[0] != state.applied or lease_clock() >= state.until:
            return self._get_slowly(key, default)
        try:
            entry = state.tables[0].get(key)
        except TypeError:
            check_key(key)
            raise
        if entry is not None and entry.birth >= state.soft_floor:
            until = entry.fresh_until
            if until is FOREVER or self._now() < until:
                value = entry.value
                if value is not GONE:
                    if entry.freq < self._touch_cap:
                        entry.freq += 1
                    if state.touch is not None:
                        state.touch(entry)
                    if GIL:
                        self._direct.hits += 1.0
                    else:
                        self._core.count_slot_hit(self._direct)
                    return value if self._hand_out is None else self._hand_out(value)
        return self._get_slowly(key, default)

    def _get_slowly(self, key: str, default: Any) -> Any:
        self._state = self._root.states[self._index]
        return LATER if default is LATER else get_slowly(self._core, key, default)

    async def aget(self, key: str, default: Any = None) -> Any:
        """Do what ``Cache.aget`` does; no event loop stands still for the server."""
        core = self._reader
        look = core.look_at_once(key)
        if look is None:
            value = self.get(key, LATER)
            return value if value is not LATER else await aget_far(core, key, default)
        raw = await core.aread(look.name)  # type: ignore[arg-type]  # there is one
        served, value = core.value_at_once(look, raw)
        return value if served else await aserve(core, look, raw, default)

    async def aget_or_load(
        self, key: str, loader: Callable[[], Awaitable[Any] | Any], *, ttl: Any = UNSET, tags: Any = ()
    ) -> Any:
        """Do what ``Cache.aget_or_load`` does; what the server has is served before a load is thought of."""
        core = self._reader
        look = core.look_at_once(key)
        if look is None:
            return await super().aget_or_load(key, loader, ttl=ttl, tags=tags)
        terms = Terms.of(ttl, tags)
        raw = await core.aread(look.name)  # type: ignore[arg-type]  # there is one
        served, value = core.value_at_once(look, raw)
        if served:
            return value
        return await aload(core, look.slot, key, loader, terms, sought=(await core.aentry_of(look, raw),))
