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
class Adapter:
    """What a library offers; None where it does not, or where it would be another job.

    Attributes:
        name: The row's name.
        memo: Makes a memoized function from a function, a size in entries and a TTL in seconds or None.
        amemo: The same for a coroutine function.
        store: Makes a store from a size in entries and a TTL in seconds or None.
        fast: Whether a million entries are a matter of seconds.
    """

    name: str
    memo: Callable[[Any, int, float | None], Any] | None = None
    amemo: Callable[[Any, int, float | None], Any] | None = None
    store: Callable[[int, float | None], Store] | None = None
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
