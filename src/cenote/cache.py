"""Caches: what users hold."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar, cast, overload

from cenote.aloading import aload, off_loop
from cenote.approach import LATER
from cenote.many import aload_many
from cenote.operations import Operations
from cenote.options import UNSET
from cenote.refills import Refill
from cenote.result import ClearResult, Mode
from cenote.terms import Terms

__all__ = ["Cache"]

T = TypeVar("T")


class Cache(Operations):
    """The cache of one service, or the global one; made by a CacheManager.

    Keys are non-empty strings. Memoized calls have keys too: their identifiers, such as ``analyse('ch-1')``, which
    every method takes. A method that begins with ``a`` is the same for asynchronous code; all may be used from any
    thread and from any number of event loops at once. Times are seconds.
    """

    # What touches memory and files of this machine does not wait, so it is not sent to a thread; a server's answer is
    # waited for in one.

    async def aget(self, key: str, default: Any = None) -> Any:
        """Do what ``get`` does; what the tasks of one tick ask a server is asked in one round trip."""
        return self.get(key, default)

    async def aset(self, key: str, value: Any, *, ttl: Any = UNSET, tags: Iterable[str] = ()) -> None:
        """Do what ``set`` does."""
        await off_loop(self._core, self.set, key, value, ttl=ttl, tags=tags)

    async def adelete(self, key: str) -> bool:
        """Do what ``delete`` does."""
        return await off_loop(self._core, self.delete, key)

    @overload
    async def aget_or_load(
        self, key: str, loader: Callable[[], Awaitable[T]], *, ttl: Any = UNSET, tags: Any = ()
    ) -> T: ...

    @overload
    async def aget_or_load(self, key: str, loader: Callable[[], T], *, ttl: Any = UNSET, tags: Any = ()) -> T: ...

    async def aget_or_load(
        self, key: str, loader: Callable[[], Awaitable[T] | T], *, ttl: Any = UNSET, tags: Any = ()
    ) -> T:
        """Do what ``get_or_load`` does, with a loader that may be asynchronous.

        The load runs in a task of its own: a cancelled caller cancels it only when nobody waits for it any more.
        """
        terms = Terms.of(ttl, tags)
        value = self.get(key, LATER)  # as in get_or_load
        if value is not LATER:
            return cast("T", value)
        slot, place = self._place(key)
        return cast("T", await aload(self._core, slot, place, loader, terms))

    async def aget_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Do what ``get_many`` does."""
        return await off_loop(self._core, self.get_many, keys)

    async def aset_many(self, values: Mapping[str, Any], *, ttl: Any = UNSET, tags: Iterable[str] = ()) -> None:
        """Do what ``set_many`` does."""
        await off_loop(self._core, self.set_many, values, ttl=ttl, tags=tags)

    async def adelete_many(self, keys: Iterable[str]) -> int:
        """Do what ``delete_many`` does."""
        return await off_loop(self._core, self.delete_many, keys)

    async def aget_or_load_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Awaitable[Mapping[str, T]] | Mapping[str, T]],
        *,
        ttl: Any = UNSET,
        tags: Any = (),
    ) -> dict[str, T]:
        """Do what ``get_or_load_many`` does, with a loader that may be asynchronous."""
        places = {key: self._place(key) for key in dict.fromkeys(keys)}
        return await aload_many(self._core, places, loader, Terms.of(ttl, tags))

    async def ainvalidate_tags(self, *tags: str) -> int:
        """Do what ``invalidate_tags`` does, in a thread: many entries may carry a tag."""
        return await asyncio.to_thread(self.invalidate_tags, *tags)

    async def aclear(
        self,
        *,
        mode: Mode = "hard",
        dry_run: bool = False,
        prefix: str | None = None,
        tags: Iterable[str] | None = None,
        max_items: int = 100,
        reason: str | None = None,
        actor: str | None = None,
        clear_id: str | None = None,
        refill: Refill | None = None,
    ) -> ClearResult:
        """Do what ``clear`` does; in a thread when it must look at entries one by one, or wait for other machines."""
        clear = functools.partial(
            self.clear,
            mode=mode,
            dry_run=dry_run,
            prefix=prefix,
            tags=tags,
            max_items=max_items,
            reason=reason,
            actor=actor,
            clear_id=clear_id,
            refill=refill,
        )
        return await (off_loop(self._core, clear) if prefix is None and tags is None else asyncio.to_thread(clear))
