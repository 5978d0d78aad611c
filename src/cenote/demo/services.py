"""The three services of the demonstration, each with a cache of its own, and what they share.

``etherforce`` analyses modules, ``lorekeeper`` searches their docstrings, and ``workflow`` writes reports that rest
on entries of both. Entries made from a module carry the tag ``module:NAME`` in every cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cenote import CacheManager
from cenote.demo.analysis import Analysis, analyse_source, reachable
from cenote.demo.docstrings import Hit, Index, Page, index_of, read_page, vocabulary_of
from cenote.demo.sources import Library

__all__ = [
    "Etherforce",
    "Lorekeeper",
    "Report",
    "Workflow",
    "open_etherforce",
    "open_lorekeeper",
    "open_workflow",
]


def _of_module(module: str) -> list[str]:
    return [f"module:{module}"]


@dataclass(frozen=True, slots=True)
class Etherforce:
    """Analyses modules.

    Attributes:
        analyse: Functions, complexity and imports of a module.
        trace: The functions that a function of a module may come to call; rests on ``analyse``.
    """

    analyse: Callable[[str], Analysis]
    trace: Callable[[str, str], tuple[str, ...]]


def open_etherforce(caches: CacheManager, library: Library) -> Etherforce:
    """Return the service ``etherforce`` with its cache."""
    cache = caches.service("etherforce", ttl=150, ttl_jitter=0.5, max_entries=2_000)

    @cache.memoize(name="analyse", tags=_of_module)
    def analyse(module: str) -> Analysis:
        return analyse_source(module, library.read(module))

    @cache.memoize(name="trace", ttl=120, tags=lambda module, function: [f"module:{module}"])  # noqa: ARG005 - same parameters
    def trace(module: str, function: str) -> tuple[str, ...]:
        return reachable(analyse(module), function)

    return Etherforce(analyse, trace)


@dataclass(frozen=True, slots=True)
class Lorekeeper:
    """Searches docstrings.

    Attributes:
        modules: The names of the modules; in the global cache.
        vocabulary: The weight of each term; in the global cache, rests on ``page``.
        page: The terms of a module's docstrings.
        index: Where each term occurs; rests on ``page``.
        search: The modules that fit a query; rests on ``index`` and ``vocabulary``.
    """

    modules: Callable[[], list[str]]
    vocabulary: Callable[[], Awaitable[dict[str, float]]]
    page: Callable[[str], Awaitable[Page]]
    index: Callable[[], Awaitable[Index]]
    search: Callable[[str], Awaitable[tuple[Hit, ...]]]


def open_lorekeeper(caches: CacheManager, library: Library) -> Lorekeeper:
    """Return the service ``lorekeeper`` with its cache; what all services need goes to the global cache."""
    cache = caches.service("lorekeeper", ttl=150, ttl_jitter=0.5, max_entries=2_000)
    shared = caches.global_cache

    @shared.memoize(name="modules", ttl=30, tags=lambda: ["library"])
    def modules() -> list[str]:
        there = library.scan()
        return [name for name in library.names if name in there]

    @cache.memoize(name="page", tags=_of_module)
    async def page(module: str) -> Page:
        source = await asyncio.to_thread(library.read, module)
        return await asyncio.to_thread(read_page, module, source)

    @shared.memoize(name="vocabulary", ttl=60, tags=lambda: ["library"])
    async def vocabulary() -> dict[str, float]:
        return vocabulary_of([await page(module) for module in modules()])

    @cache.memoize(name="index", ttl=60, tags=lambda: ["library"])
    async def index() -> Index:
        return index_of([await page(module) for module in modules()])

    @cache.memoize(name="search", ttl=120, tags=lambda query: [f"word:{word}" for word in query.split()])
    async def search(query: str) -> tuple[Hit, ...]:
        weights = await vocabulary()
        found = await index()
        return found.search(query, weights, limit=10)

    return Lorekeeper(modules, vocabulary, page, index, search)


@dataclass(frozen=True, slots=True)
class Report:
    """What ``workflow`` says about a module.

    Attributes:
        module: Its name.
        summary: The first line of its docstring.
        lines: How many lines it has.
        complexity: The complexity of all its functions.
        hardest: Its most complex functions.
        related: Modules that speak of the same things.
    """

    module: str
    summary: str
    lines: int
    complexity: int
    hardest: tuple[str, ...]
    related: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workflow:
    """Combines what the others know.

    Attributes:
        report: All about a module; rests on entries of ``etherforce`` and ``lorekeeper``.
        ranking: The most complex modules; rests on every analysis.
    """

    report: Callable[[str], Awaitable[Report]]
    ranking: Callable[[int], tuple[tuple[str, int], ...]]


def open_workflow(caches: CacheManager, etherforce: Etherforce, lorekeeper: Lorekeeper) -> Workflow:
    """Return the service ``workflow`` with its cache."""
    cache = caches.service("workflow", ttl=120, ttl_jitter=0.5, max_entries=1_000)

    @cache.memoize(name="report", tags=_of_module)
    async def report(module: str) -> Report:
        analysis = await asyncio.to_thread(etherforce.analyse, module)
        page = await lorekeeper.page(module)
        weights = await lorekeeper.vocabulary()
        words = sorted(page.terms, key=lambda word: (-page.terms[word] * weights.get(word, 0), word))[:2]
        hits = await lorekeeper.search(" ".join(sorted(words))) if words else ()
        return Report(
            module,
            page.summary,
            analysis.lines,
            analysis.complexity,
            tuple(function.name for function in analysis.functions[:3]),
            tuple(hit.module for hit in hits if hit.module != module)[:3],
        )

    @cache.memoize(name="ranking", ttl=30, tags=lambda top: ["ranking"])  # noqa: ARG005 - same parameters
    def ranking(top: int) -> tuple[tuple[str, int], ...]:
        sums = [(module, etherforce.analyse(module).complexity) for module in lorekeeper.modules()]
        return tuple(sorted(sums, key=lambda pair: (-pair[1], pair[0]))[:top])

    return Workflow(report, ranking)
