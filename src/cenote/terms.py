"""Terms: how long a value is kept and what it carries, worked out before any lock is taken."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from cenote.entry import FOREVER, NO_TAGS, Entry, ParticularEntry
from cenote.errors import ConfigurationError
from cenote.options import UNSET, CacheOptions, Unset, seconds

__all__ = ["Terms", "Treatment", "again", "check_tags", "freeze"]


def check_tags(tags: object) -> frozenset[str]:
    """Return tags as a set, or raise ConfigurationError when they are not an iterable of non-empty strings."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise ConfigurationError(f"tags must be several strings, as a list, tuple or set, not {tags!r}")
    found = frozenset(tags)
    for tag in found:
        if not isinstance(tag, str) or not tag:
            raise ConfigurationError(f"a tag must be a non-empty string, not {tag!r}")
    return found


def freeze(value: Any) -> Any:
    """Return a read-only form of dicts, lists and sets, all the way down; anything else is returned as it is."""
    if isinstance(value, dict):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list) or type(value) is tuple:
        return tuple([freeze(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    return value


def again(error: BaseException) -> BaseException:
    """Return a twin of an error to be raised once more: each raise hangs the frames of its callers on the error."""
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001  # an error that takes other arguments than it shows
        twin = error
    if type(twin) is not type(error):
        twin = error
    twin.__cause__ = error.__cause__
    return twin.with_traceback(None)


class Terms:
    """What a caller said of the values to be loaded.

    Attributes:
        ttl: Seconds; None for no end; UNSET for the cache's; or a function of the value that returns one of these.
        tags: The tags, or a function of the value.
        cache_if: Whether to keep a value; None keeps all.
    """

    __slots__ = ("cache_if", "tags", "ttl")

    def __init__(
        self,
        ttl: float | Unset | Callable[[Any], Any] | None = UNSET,
        tags: frozenset[str] | Callable[[Any], Iterable[str]] = NO_TAGS,
        cache_if: Callable[[Any], bool] | None = None,
    ) -> None:
        self.ttl = ttl
        self.tags = tags
        self.cache_if = cache_if

    @classmethod
    def of(cls, ttl: Any, tags: Any, cache_if: Any = None) -> Terms:
        """Check what a caller said, or raise ConfigurationError."""
        if cache_if is None and (tags is NO_TAGS or (type(tags) is tuple and not tags)):
            if ttl is UNSET:
                return _NOTHING_SAID
            if type(ttl) in _NUMBERS:
                return _of_seconds(ttl)
        if ttl is not UNSET and ttl is not None and not callable(ttl):
            ttl = seconds("ttl", ttl, zero=True)
        return cls(ttl, tags if callable(tags) else check_tags(tags), cache_if)

    def known_tags(self) -> frozenset[str] | None:
        """The tags as far as they are known before the load: None when they depend on the value."""
        return None if callable(self.tags) else self.tags

    def settle(self, value: Any) -> tuple[float | Unset | None, frozenset[str]]:
        """Work out the TTL (0: do not keep) and the tags of a loaded value."""
        if self.cache_if is not None and not self.cache_if(value):
            return 0.0, NO_TAGS
        ttl = self.ttl
        if callable(ttl):
            ttl = ttl(value)
            if ttl is not None and ttl is not UNSET:
                ttl = seconds("ttl", ttl, zero=True)
        return ttl, check_tags(self.tags(value)) if callable(self.tags) else self.tags


_NOTHING_SAID: Final = Terms()
_NUMBERS: Final = (int, float)


@lru_cache(256)
def _of_seconds(ttl: float) -> Terms:
    """Return the terms of a TTL and nothing else; callers say the same few again and again."""
    return Terms(seconds("ttl", ttl, zero=True))


class Treatment:
    """How one cache's options turn values into entries.

    Attributes:
        hand_out: Makes a caller's own copy of a value; None shares it.
        take_in: Makes the value that is kept; None keeps it as it is.
        may_hold: Whether a failed reload is not tried again for a while.
    """

    __slots__ = ("_options", "_particular", "_window", "hand_out", "may_hold", "take_in")

    def __init__(self, options: CacheOptions) -> None:
        self.hand_out: Callable[[Any], Any] | None = None
        self.take_in: Callable[[Any], Any] | None = None
        self.follow(options)

    def follow(self, options: CacheOptions) -> None:
        """Do as other options say from now on."""
        self._options = options
        self._window = max(options.stale_while_revalidate, options.fail_safe)
        self.may_hold = bool(self._window or options.refresh_ahead)
        self._particular = bool(
            options.idle_ttl or options.refresh_ahead or self._window or options.weigher or options.negative_ttl
        )
        self.hand_out = self.take_in = None
        if options.copy == "deep":
            self.hand_out = self.take_in = copy.deepcopy
        elif options.copy == "freeze":
            self.take_in = freeze

    def entry(
        self,
        slot: int,
        key: Hashable,
        value: Any,
        *,
        now: float,
        birth: int,
        born: float,
        cost: float,
        ttl: float | Unset | None,
        tags: frozenset[str],
    ) -> Entry | None:
        """Make the entry of a value.

        Returns:
            The entry; None when its TTL is 0.

        Raises:
            ConfigurationError: The weigher returned something else than a whole number.
        """
        options = self._options
        lifetime = options.ttl if isinstance(ttl, Unset) else ttl
        expires = hard = FOREVER
        if lifetime is not None:
            if lifetime == 0:
                return None
            if options.ttl_jitter:
                lifetime *= 1 - options.ttl_jitter * random.random()  # noqa: S311  # no secret
            expires = now + lifetime
            hard = expires + self._window if self._window else expires
        if not self._particular and not tags:
            return Entry(key, value, birth=birth, born=born, fresh_until=expires, slot=slot, cost=cost)
        made = self._made(slot, key, value, expires, hard, tags, now, since=now)
        made.birth, made.born, made.cost = birth, born, cost
        return made

    def restore(
        self,
        slot: int,
        key: Hashable,
        value: Any,
        *,
        birth: int,
        born: float,
        expires: float,
        hard: float,
        cost: float,
        tags: frozenset[str],
        now: float,
    ) -> Entry:
        """Make the entry of a value that was stored elsewhere, with the terms that it was stored with."""
        if self.take_in is not None:
            value = self.take_in(value)
        if not self._particular and not tags:
            return Entry(key, value, birth=birth, born=born, fresh_until=expires, slot=slot, cost=cost)
        made = self._made(slot, key, value, expires, hard, tags, now, since=born + cost)
        made.birth, made.born, made.cost = birth, born, cost
        return made

    def _made(
        self,
        slot: int,
        key: Hashable,
        value: Any,
        expires: float,
        hard: float,
        tags: frozenset[str],
        now: float,
        *,
        since: float,
    ) -> ParticularEntry:
        """Make an entry that a plain hit may not serve for as long as it is fresh; its lifetime began at ``since``."""
        options = self._options
        simple = expires
        if options.idle_ttl is not None:
            simple = 0.0
        elif options.refresh_ahead is not None and expires != FOREVER:
            simple = since + (expires - since) * options.refresh_ahead
        return ParticularEntry(
            key,
            value,
            fresh_until=simple,
            hard_until=hard,
            slot=slot,
            tags=tags,
            size=self._weigh(value),
            expires=expires,
            used=now,
        )

    def failure(
        self,
        slot: int,
        key: Hashable,
        error: Exception,
        *,
        now: float,
        birth: int,
        born: float,
        tags: frozenset[str],
    ) -> Entry | None:
        """Make the entry of a failure that is to be remembered; None when it is not."""
        options = self._options
        if options.negative_ttl is None or not isinstance(error, options.negative_errors):
            return None
        end = now + options.negative_ttl
        return ParticularEntry(
            key,
            None,
            birth=birth,
            born=born,
            fresh_until=0.0,
            hard_until=end,
            slot=slot,
            tags=tags,
            expires=end,
            used=now,
            error=again(error),
        )

    def _weigh(self, value: Any) -> int:
        if self._options.weigher is None:
            return 1
        size = self._options.weigher(value)
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ConfigurationError(f"weigher must return a whole number of bytes, not {size!r}")
        return max(size, 1)
