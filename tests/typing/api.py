"""What type checkers must make of the public names; nothing here runs."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from cenote import Cache, CacheInfo, CacheManager, CacheStats, EntryInfo
from cenote.result import ClearResult

caches = CacheManager()
cache: Cache = caches.service("etherforce", ttl=300, max_entries=10_000)


def a_result_is_typed(result: ClearResult) -> None:
    """Each field has the type that its users rely on."""
    assert_type(result.entries_cleared, int)
    assert_type(result.cleared_items, tuple[str, ...])
    assert_type(result.timestamp, datetime)


def tags_of(chapter: str, depth: int = 1) -> list[str]:
    """Tags made from the arguments."""
    return [f"chapter:{chapter}", f"depth:{depth}"]


@cache.memoize(ttl=60, tags=tags_of)
def analyse(chapter: str, depth: int = 1) -> list[int]:
    """A memoized function."""
    return [depth]


@cache.memoize()
async def summarise(chapter: str, *, words: int) -> str:
    """A memoized coroutine function."""
    return chapter * words


class Library:
    """Memoized methods."""

    @cache.memoize(ignore="self")
    def method(self, chapter: str) -> int:
        """A memoized method."""
        return len(chapter)

    @cache.memoize()
    async def slow_method(self, chapter: str) -> int:
        """A memoized asynchronous method."""
        return len(chapter)

    @staticmethod
    @cache.memoize()
    def static_method(chapter: str) -> float:
        """A memoized static method."""
        return float(chapter)


def a_memoized_function_keeps_its_signature() -> None:
    """Arguments and result are those of the function."""
    assert_type(analyse("ch-1"), list[int])
    assert_type(analyse("ch-1", depth=2), list[int])
    analyse(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    analyse("ch-1", "deep")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    analyse()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(analyse.__wrapped__("ch-1"), list[int])
    assert_type(analyse.__name__, str)


def what_a_memoized_function_can_be_told_is_typed() -> None:
    """``invalidate``, ``refresh`` and ``key`` take the parameters of the function."""
    assert_type(analyse.invalidate("ch-1", depth=2), bool)
    assert_type(analyse.refresh("ch-1"), list[int])
    assert_type(analyse.key("ch-1"), str)
    assert_type(analyse.cache_info(), CacheInfo)
    assert_type(analyse.cache_info().maxsize, int | None)
    analyse.cache_clear()
    analyse.invalidate(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    analyse.refresh()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    analyse.key("ch-1", width=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def a_memoized_coroutine_function_is_awaited() -> None:
    """The call and the refresh are coroutines, ``invalidate`` is not."""
    assert_type(await summarise("ch-1", words=3), str)
    assert_type(await summarise.refresh("ch-1", words=3), str)
    assert_type(summarise.invalidate("ch-1", words=3), bool)
    await summarise("ch-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def memoized_methods_are_bound() -> None:
    """The instance or the class is no argument of a bound method."""
    library = Library()
    assert_type(library.method("ch-1"), int)
    assert_type(await library.slow_method("ch-1"), int)
    assert_type(Library.method(library, "ch-1"), int)
    assert_type(Library.method.invalidate(library, "ch-1"), bool)
    library.method(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    library.method()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def static_methods_are_typed() -> None:
    """They are called on the class."""
    assert_type(Library.static_method("1"), float)


async def a_load_has_the_type_of_its_loader() -> None:
    """Synchronous and asynchronous loaders alike."""

    async def load() -> bytes:
        return b""

    assert_type(cache.get_or_load("k", lambda: 1), int)
    assert_type(await cache.aget_or_load("k", load), bytes)

    def load_many(keys: list[str]) -> dict[str, float]:
        return dict.fromkeys(keys, 1.0)

    assert_type(cache.get_or_load_many(["k"], load_many), dict[str, float])
    assert_type(await cache.aget_or_load_many(["k"], load_many), dict[str, float])


def everything_else_is_typed() -> None:
    """What reads, removes and looks returns plain types."""
    assert_type(cache.delete("k"), bool)
    assert_type(cache.delete_many(["k"]), int)
    assert_type(cache.invalidate_tags("a", "b"), int)
    assert_type(cache.keys(prefix="a"), list[str])
    assert_type(cache.explain("k"), EntryInfo)
    assert_type(cache.stats(), CacheStats)
    assert_type(cache.fill("k").set(1), bool)
    assert_type(cache.clear(mode="soft"), ClearResult)
    assert_type(caches.clear_all(), ClearResult)
    assert_type(caches.find("a"), Cache | None)
    cache.clear(mode="medium")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
