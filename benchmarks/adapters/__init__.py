"""Adapters: one file for each caching library, all with the same few ways in."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODULES = ("cenote", "functools", "cachebox", "cachetools", "cashews", "aiocache", "dogpile", "diskcache")


@dataclass(frozen=True)
class Store:
    """A cache used by key.

    Attributes:
        get: Called with a key.
        set: Called with a key and a value.
        clear: Empties it.
    """

    get: Callable[[Any], Any]
    set: Callable[[Any, Any], Any]
    clear: Callable[[], Any]


@dataclass(frozen=True)
class Remote:
    """Two caches at a Redis or Valkey server, "books" and "films"; entries last an hour.

    Where ``waits`` is set, all that can be called here returns something to be awaited.

    Attributes:
        get: Called with a key of books.
        set: Called with a key of books and a value.
        fill: Called with "books" or "films", keys and a value; stores them all, in the quickest way there is.
        count: Returns how many entries of films are left.
        clears: The ways to empty books: what is written, what it really does, and what is called.
        close: Gives the connections back.
        waits: Whether it is asynchronous.
    """

    get: Callable[[str], Any]
    set: Callable[[str, Any], Any]
    fill: Callable[[str, list[str], Any], Any]
    count: Callable[[], Any]
    clears: dict[str, tuple[str, Callable[[], Any]]]
    close: Callable[[], Any]
    waits: bool = False


@dataclass(frozen=True)
class Adapter:
    """What a library offers; None where it does not, or where it would be another job.

    Attributes:
        name: The row's name.
        memo: Makes a memoized function from a function, a size in entries and a TTL in seconds or None.
        amemo: The same for a coroutine function.
        store: Makes a store from a size in entries and a TTL in seconds or None.
        remote: Opens caches at a server, from its URL; each call is another process, or another machine.
        fast: Whether a million entries are a matter of seconds.
    """

    name: str
    memo: Callable[[Any, int, float | None], Any] | None = None
    amemo: Callable[[Any, int, float | None], Any] | None = None
    store: Callable[[int, float | None], Store] | None = None
    remote: Callable[[str], Remote] | None = None
    fast: bool = True


def load(names: tuple[str, ...] = MODULES) -> tuple[list[Adapter], list[str]]:
    """Import the adapters; return them, and a sentence for each library that is not there."""
    adapters: list[Adapter] = []
    missing: list[str] = []
    for name in names:
        try:
            adapters += importlib.import_module(f"{__name__}.{name}").ADAPTERS
        except ImportError as error:
            missing.append(f"{name} cannot be imported ({error}); `make bench` installs it")
    return adapters, missing


def named(name: str) -> Adapter | None:
    """Return the adapter of a row, or None when its library is missing."""
    adapters, _ = load()
    return next((adapter for adapter in adapters if adapter.name == name), None)
