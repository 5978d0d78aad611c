"""Operations: everything that threads do with a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, cast, overload

from cenote.approach import LATER
from cenote.audit import AuditEvent, AuditTrail
from cenote.bypass import bypassed, bypasses
from cenote.clearable import Clearable
from cenote.clearing import switch
from cenote.core import CacheCore
from cenote.entry import FOREVER, GONE
from cenote.errors import ConfigurationError
from cenote.flight import Fill
from cenote.getting import get_each, get_slowly
from cenote.keys import check_key
from cenote.loading import load
from cenote.many import load_many
from cenote.memoize import Decorator, Memoized, memoize
from cenote.options import UNSET, CacheOptions
from cenote.scope import Scope
from cenote.selecting import clear_scope
from cenote.swapping import Tally
from cenote.tables import GIL
from cenote.terms import Terms, check_tags

__all__ = ["Operations"]

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


class Operations(Clearable):
    """The operations of a cache, for any number of threads."""

    def __init__(self, core: CacheCore, audit: AuditTrail) -> None:
        """Wrap a core; users call ``CacheManager.service`` instead."""
        super().__init__(core, audit)
        self._root = core.root
        self._index = core.index
        self._now = core.now
        self._direct = core.slots[0]
        self._enabled = self._all_on = True
        self._fit()

    def _fit(self) -> None:
        self._hand_out = self._core.treatment.hand_out
        policy = self._core.state.store.policy
        self._touch_cap = 0 if policy is None else policy.touch_cap

    def take_options(self, options: CacheOptions) -> bool:
        """Take other options, and forget what was stored under the former ones, in this process.

        Args:
            options: The options.

        Returns:
            False where a function was memoized under the former ones: nothing was changed.
        """
        core = self._core
        with core.changing("service"):
            if len(core.slots) > 1:
                return False
            core.options = options
            core.treatment.follow(options)
            core.forget()
            self._fit()
        return True

    @property
    def enabled(self) -> bool:
        """Whether it caches; set it to False to have every read load and nothing stored.

        Switching off empties it in this process. What a store holds that others share stays there, and is served once
        it is switched on again, unless it was invalidated. The manager has a switch of its own; both must be on.
        """
        return self._enabled

    @enabled.setter
    def enabled(self, on: bool) -> None:
        self._switch(own=bool(on))

    def apply_switches(self, *, all_on: bool) -> None:
        """Switch on or off as this cache's own switch and the manager's say together."""
        self._switch(all_on=all_on)

    def _switch(self, *, own: bool | None = None, all_on: bool | None = None) -> None:
        def wanted() -> bool:
            self._enabled = self._enabled if own is None else own
            self._all_on = self._all_on if all_on is None else all_on
            return self._enabled and self._all_on

        on = switch(self._core, wanted)
        if on is None:
            return
        message = f"Switched {'on' if on else 'off'} the {self.title}"
        self._audit.record(AuditEvent(action="switch", service=self.name, level=self._core.log.level, message=message))

    # One entry

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key.

        A stale value is returned only while somebody reloads it.

        Args:
            key: The key.
            default: What to return when there is none.
        """
        if bypasses.open and bypassed():
            return default
        state = self._root.states[self._index]
        word = state.word
        if word is not None and word[0] != state.applied:
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
        return LATER if default is LATER else get_slowly(self._core, key, default)

    def set(self, key: str, value: Any, *, ttl: Any = UNSET, tags: Iterable[str] = ()) -> None:
        """Store a value; a load of the key that began earlier will not overwrite it.

        Args:
            key: The key.
            value: The value.
            ttl: Seconds that it is fresh; None for no end; 0 stores nothing; not given, the cache's own TTL.
            tags: Its tags.

        Raises:
            InvalidKeyError: The key is not a non-empty string.
            ConfigurationError: The TTL or a tag cannot be used.
        """
        slot, place = self._place(key)
        self._core.store_value(slot, place, value, Terms.of(ttl, tags))

    def delete(self, key: str) -> bool:
        """Remove a key; loads of it that are under way will not be stored.

        Args:
            key: The key, or any identifier that a listing or a clear showed.

        Returns:
            Whether there was a live entry.
        """
        check_key(key)
        slot = self._core.slot_of(key)
        if slot.keys is None:
            return self._core.remove_key(slot, key)
        place = slot.keys.key_of(key)
        if place is not None:
            return self._core.remove_key(slot, place)
        tally = Tally(most=0)
        clear_scope(self._core, Scope(exact=key), soft=False, dry_run=False, tally=tally)
        return tally.entries > 0

    def get_or_load(self, key: str, loader: Callable[[], T], *, ttl: Any = UNSET, tags: Any = ()) -> T:
        """Return the value of a key, loading it when there is none; one caller loads, the others wait for it.

        Args:
            key: The key.
            loader: Makes the value.
            ttl: Seconds, None, or a function of the value that returns one of these.
            tags: The tags, or a function of the value that returns them.

        Raises:
            RecursiveLoadError: The loader asked for the very key.
            LoadTimeoutError: The load took longer than load_timeout.
        """
        terms = Terms.of(ttl, tags)
        value = self.get(key, LATER)  # what a read may serve without a second thought
        if value is not LATER:
            return cast("T", value)
        slot, place = self._place(key)
        return cast("T", load(self._core, slot, place, loader, terms))

    def fill(self, key: str) -> Fill:
        """Take the birth of a value that the caller is about to compute.

        ``token = cache.fill(key); value = compute(); token.set(value)`` stores the value only if nothing made it old
        in between. Nobody waits for a token.
        """
        slot, place = self._place(key)
        return self._core.new_fill(slot, place)

    # Many entries

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that have one."""
        if self._core.far:
            return get_each(self._core, {key: self.get(key, LATER) for key in keys}, LATER)
        found = ((key, self.get(key, GONE)) for key in dict.fromkeys(keys))
        return {key: value for key, value in found if value is not GONE}

    def set_many(self, values: Mapping[str, Any], *, ttl: Any = UNSET, tags: Iterable[str] = ()) -> None:
        """Store several values."""
        tags = check_tags(tags)
        for key in values:
            check_key(key)
        for key, value in values.items():
            self.set(key, value, ttl=ttl, tags=tags)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove several keys; return how many live entries there were."""
        return sum([self.delete(key) for key in dict.fromkeys(keys)])

    def get_or_load_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Mapping[str, T]],
        *,
        ttl: Any = UNSET,
        tags: Any = (),
    ) -> dict[str, T]:
        """Return the values of several keys, with one loader call for all that nobody has and nobody loads.

        What other processes load is waited for afterwards; what they then have not loaded is asked for in another call.

        Args:
            keys: The keys.
            loader: Gets the missing keys and returns their values; keys it leaves out are neither cached nor returned.
            ttl: As for ``get_or_load``.
            tags: As for ``get_or_load``.
        """
        places = {key: self._place(key) for key in dict.fromkeys(keys)}
        return load_many(self._core, places, loader, Terms.of(ttl, tags))

    # Functions

    @overload
    def memoize(self, func: Callable[P, R], /) -> Memoized[P, R]: ...

    @overload
    def memoize(
        self,
        /,
        *,
        ttl: Any = UNSET,
        tags: Any = (),
        key: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        name: str | None = None,
        cache_if: Callable[[Any], bool] | None = None,
    ) -> Decorator: ...

    def memoize(
        self,
        func: Any = None,
        /,
        *,
        ttl: Any = UNSET,
        tags: Any = (),
        key: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        name: str | None = None,
        cache_if: Callable[[Any], bool] | None = None,
    ) -> Any:
        """Cache the results of a function, method or coroutine function.

        Calls that bind the same arguments to the same parameters share an entry, given by position or by name alike;
        ``1``, ``1.0`` and ``True`` are different arguments. ``self`` counts like any other parameter, and the entry
        keeps the instance alive, unless ``ignore="self"`` leaves it out.

        Args:
            func: The function, where the decorator is written without parentheses.
            ttl: Seconds; None for no end; or a function of the value that returns one of these.
            tags: The tags, or a function of the arguments that returns them.
            key: Makes the key from the arguments, in place of the arguments themselves.
            ignore: Parameters that do not count, such as sessions and requests.
            name: What identifiers begin with; the function's qualified name when not given.
            cache_if: Whether to keep a value.

        Returns:
            A decorator. What it makes keeps the signature and has ``invalidate``, ``refresh`` and ``key``, called with
            the function's arguments, and functools' ``cache_info``, ``cache_clear`` and ``__wrapped__``.

        Raises:
            ConfigurationError: An option cannot be used, or the function cannot be memoized.
            UnhashableArgumentError: On a call, an argument cannot be part of a key.
        """
        if key is not None and not callable(key):
            raise ConfigurationError(f"key must be a function of the arguments, not {key!r}")
        if cache_if is not None and not callable(cache_if):
            raise ConfigurationError(f"cache_if must be a function of the value, not {cache_if!r}")
        if not callable(ttl):
            Terms.of(ttl, ())

        def decorate(func: Any) -> Any:
            return memoize(
                self._core,
                func,
                clear_slot=self._clear_slot,
                ttl=ttl,
                tags=tags,
                key=key,
                ignore=ignore,
                name=name,
                cache_if=cache_if,
            )

        return decorate if func is None else decorate(func)
