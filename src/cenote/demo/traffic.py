"""A gentle, endless and skewed stream of requests, the same on every run.

Popularity follows Zipf's law: the module of rank r is asked for in proportion to 1 / r.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from itertools import accumulate
from typing import Any

from cenote.demo.services import Etherforce, Lorekeeper, Workflow

__all__ = ["RANKED", "SEED", "TRACED", "Traffic"]

_SHARES = {"analyse": 30, "trace": 16, "page": 12, "search": 20, "report": 20, "ranking": 2}
_QUERIES = 80
SEED = 8338
TRACED = 3
RANKED = 20


class Traffic:
    """Requests of imaginary users.

    Args:
        modules: The modules they ask about.
        etherforce: Asked for analyses.
        lorekeeper: Asked for searches.
        workflow: Asked for reports.
        workers: Runs the synchronous requests.
        seed: Decides who asks for what, and when.
    """

    def __init__(
        self,
        modules: Sequence[str],
        etherforce: Etherforce,
        lorekeeper: Lorekeeper,
        workflow: Workflow,
        *,
        workers: Executor,
        seed: int = SEED,
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - this decides nothing secret
        self._etherforce = etherforce
        self._lorekeeper = lorekeeper
        self._workflow = workflow
        self._workers = workers
        self._modules = list(modules)
        self._random.shuffle(self._modules)
        self._module_ranks = _zipf(len(self._modules))
        self._queries: list[str] = []
        self._query_ranks: list[float] = []
        self._kinds: dict[str, Callable[[], Awaitable[Any]]] = {
            "analyse": self._analyse,
            "trace": self._trace,
            "page": self._page,
            "search": self._search,
            "report": self._report,
            "ranking": self._ranking,
        }
        self._kind_ranks = list(accumulate(_SHARES[kind] for kind in self._kinds))

    async def learn(self) -> None:
        """Make up the queries that users will search for, out of words that the pages have."""
        words = sorted(await self._lorekeeper.vocabulary())
        pairs = [self._random.sample(words, 2) for _ in range(_QUERIES)]
        self._queries = [" ".join(sorted(pair)) for pair in pairs]
        self._query_ranks = _zipf(_QUERIES)

    async def request(self) -> None:
        """Ask one thing of one service, and wait for the answer."""
        (kind,) = self._random.choices(list(self._kinds.values()), cum_weights=self._kind_ranks)
        await kind()

    async def _analyse(self) -> None:
        await self._in_thread(self._etherforce.analyse, self._module())

    async def _trace(self) -> None:
        module = self._module()
        nth = self._random.randrange(TRACED)

        def trace() -> None:
            functions = self._etherforce.analyse(module).functions
            if functions:
                self._etherforce.trace(module, functions[min(nth, len(functions) - 1)].name)

        await self._in_thread(trace)

    async def _page(self) -> None:
        await self._lorekeeper.page(self._module())

    async def _search(self) -> None:
        (query,) = self._random.choices(self._queries, cum_weights=self._query_ranks)
        await self._lorekeeper.search(query)

    async def _report(self) -> None:
        await self._workflow.report(self._module())

    async def _ranking(self) -> None:
        await self._in_thread(self._workflow.ranking, RANKED)

    def _module(self) -> str:
        (module,) = self._random.choices(self._modules, cum_weights=self._module_ranks)
        return module

    async def _in_thread(self, function: Callable[..., object], *arguments: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._workers, function, *arguments)


def _zipf(count: int) -> list[float]:
    """Return the cumulative weights of ``count`` ranks."""
    return list(accumulate(1 / rank for rank in range(1, count + 1)))
