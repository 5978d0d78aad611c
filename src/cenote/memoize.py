"""The decorator that caches a function's results."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, get_type_hints, overload

from cenote.aloading import aload, areload
from cenote.core import CacheCore
from cenote.entry import NO_TAGS
from cenote.errors import ConfigurationError
from cenote.loading import load, reload
from cenote.options import UNSET
from cenote.sharing import fingerprint_of
from cenote.signature import Shape
from cenote.tables import Slot
from cenote.terms import Terms, check_tags

__all__ = ["CacheInfo", "Decorator", "Memoized", "MemoizedMethod", "memoize"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
Q = ParamSpec("Q")
S = TypeVar("S")


class CacheInfo(NamedTuple):
    """The figures that ``functools.lru_cache`` gives, for one memoized function.

    Attributes:
        hits: Calls served from the cache.
        misses: Calls that were not.
        maxsize: Most entries of the whole cache; None for no limit.
        currsize: Live entries of this function.
    """

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class MemoizedMethod(Protocol[P, R_co]):
    """A memoized function bound to its instance or class."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the cached result of the call, or load it."""
        ...


class Memoized(Protocol[P, R_co]):
    """A memoized function: it is called like the original and can be told what to forget."""

    __name__: str
    __qualname__: str

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The original function."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the cached result of the call, or load it."""
        ...

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Memoized[P, R_co]: ...

    @overload
    def __get__(
        self: Memoized[Concatenate[S, Q], R_co], instance: S, owner: type[Any] | None = None, /
    ) -> MemoizedMethod[Q, R_co]: ...

    def __get__(self, instance: Any, owner: Any = None, /) -> Any:
        """Bind a method."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget one call; return whether there was an entry."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Load one call anew, whatever is there, and return the new value."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the identifier of one call's entry."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return the figures that functools.lru_cache gives."""
        ...

    def cache_clear(self) -> None:
        """Forget every call of this function."""
        ...


class Decorator(Protocol):
    """What ``memoize`` returns: it keeps the signature of what it decorates."""

    def __call__(self, func: Callable[P, R_co], /) -> Memoized[P, R_co]:
        """Memoize a function."""
        ...


def _name_of(func: Callable[..., Any]) -> str:
    """Return the readable name of a function: its qualified name without the functions it is nested in."""
    return func.__qualname__.rpartition("<locals>.")[2]


def memoize(
    core: CacheCore,
    func: Any,
    *,
    clear_slot: Callable[[Slot], None],
    ttl: Any = UNSET,
    tags: Any = NO_TAGS,
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    name: str | None = None,
    cache_if: Callable[[Any], bool] | None = None,
) -> Any:
    """Memoize a function in a cache; see ``Cache.memoize`` for the options.

    Raises:
        ConfigurationError: It is not a function that can be memoized, or an option cannot be used.
    """
    if isinstance(func, (classmethod, staticmethod)):
        options = {"ttl": ttl, "tags": tags, "key": key, "ignore": ignore, "name": name, "cache_if": cache_if}
        return type(func)(memoize(core, func.__func__, clear_slot=clear_slot, **options))
    if not callable(func) or isinstance(func, type):
        raise ConfigurationError(f"memoize decorates functions, not {func!r}")
    if inspect.isasyncgenfunction(func) or inspect.isgeneratorfunction(func):
        raise ConfigurationError(
            f"{func.__qualname__} is a generator, which can be read only once; memoize a function that returns a list"
        )
    if not hasattr(func, "__qualname__"):
        func = _named(func)
    shape, slot = _take_slot(core, func, name, ignore, key)
    _describe(slot, func, name, shape)
    is_async = inspect.iscoroutinefunction(func)
    load_one = aload if is_async else load
    load_anew = areload if is_async else reload
    common = Terms.of(ttl, NO_TAGS if callable(tags) else tags, cache_if)

    def terms_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Terms:
        if callable(tags):
            return Terms(common.ttl, check_tags(tags(*args, **kwargs)), cache_if)
        return common

    def miss(place: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return load_one(core, slot, place, lambda: func(*args, **kwargs), terms_of(args, kwargs))

    def refresh(*args: Any, **kwargs: Any) -> Any:
        return load_anew(core, slot, shape.bind(args, kwargs), lambda: func(*args, **kwargs), terms_of(args, kwargs))

    wrapper: Any
    endless = (core.options.ttl if common.ttl is UNSET else common.ttl) is None
    wrapper, slot.hot_hits = shape.wrapper(core, slot, miss, is_async=is_async, endless=endless)
    functools.update_wrapper(wrapper, func)
    wrapper.invalidate = lambda *args, **kwargs: core.remove_key(slot, shape.bind(args, kwargs))
    wrapper.refresh = refresh
    wrapper.key = lambda *args, **kwargs: slot.identifier(shape.bind(args, kwargs))
    wrapper.cache_clear = lambda shape=shape: clear_slot(slot)  # noqa: ARG005  # held, see below
    wrapper.cache_info = lambda shape=shape: CacheInfo(  # noqa: ARG005  # held, see below
        slot.all_hits, int(slot.misses), core.options.max_entries, core.live_in(slot)
    )
    # A function made inside another dies with its last caller; its table is then given to the next one.
    # The wrapper and all that reaches into the table, such as a kept ``f.refresh``, hold the shape.
    weakref.finalize(shape, core.released.append, slot).atexit = False
    return wrapper


def _describe(slot: Slot, func: Any, name: str | None, shape: Shape) -> None:
    """Say how a function's values are stored, and what tells it from others of its name in other processes.

    Functions made inside another one are told apart by a number, which means nothing elsewhere: what they return
    is shared only under a name that was given.
    """
    place = (func.__module__, func.__qualname__) if name is None else (name,)
    local = name is None and "<locals>" in func.__qualname__
    slot.fingerprint = None if local else fingerprint_of(*place, shape.keys.positional, shape.keys.keyword)
    slot.annotated = functools.cache(functools.partial(_annotated, func))


def _annotated(func: Any) -> Any:
    """Return the annotated type of what a function returns; Any where there is none, or none that can be resolved."""
    while isinstance(func, functools.partial):
        func = func.func
    try:
        return get_type_hints(func, include_extras=True).get("return", Any)
    except (NameError, TypeError, AttributeError):
        return Any


def _named(func: Callable[..., Any]) -> functools.partial[Any]:
    """Give a partial function, or an object that can be called, the name of what it calls."""
    called: Any = func
    while isinstance(called, functools.partial):
        called = called.func
    known = called if hasattr(called, "__qualname__") else type(called)
    named = functools.partial(func)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(named, attribute, getattr(known, attribute, None))
    return named


def _take_slot(
    core: CacheCore, func: Callable[..., Any], name: str | None, ignore: Iterable[str], key: Callable[..., Any] | None
) -> tuple[Shape, Slot]:
    while True:
        shape = Shape(func, _take_name(core, func, name), ignore=ignore, key=key)
        slot = core.add_slot(shape.keys, func)
        if slot is not None:
            return shape, slot


def _take_name(core: CacheCore, func: Callable[..., Any], name: str | None) -> str:
    """Choose the name that identifiers begin with, unlike any other function's in this cache.

    A function that is defined again at the same place takes the name over; functions made anew inside another function
    get a number.
    """
    if name is not None and (not isinstance(name, str) or not name or set(name) & set("()")):
        raise ConfigurationError(f"name must be a non-empty string without parentheses, not {name!r}")
    chosen = name or _name_of(func)
    if chosen not in core.functions:
        return chosen
    reference = core.functions.get(chosen)
    other = None if reference is None else reference()
    local = "<locals>" in func.__qualname__
    if (
        not local
        and other is not None
        and (other.__module__, other.__qualname__) != (func.__module__, func.__qualname__)
    ):
        raise ConfigurationError(
            f"this cache has a function {chosen!r} already, from {other.__module__}; give name= to tell them apart"
        )
    number = 2
    while f"{chosen}#{number}" in core.functions:
        number += 1
    if local:
        return f"{chosen}#{number}"
    core.rename_slot(chosen, f"{chosen}#{number}")
    return chosen
