"""The clears of a demonstration on several machines: one now and then, through one machine, and what it does to all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from cenote.cli.client import CenoteClient
from cenote.cli.failures import Failure
from cenote.demo.screen import Receipt, Reloads, Screen

__all__ = ["Clears"]

FIRST_AFTER: Final = 2.0
"""Seconds of traffic before the first one."""

EVERY: Final = 10.0
"""Seconds from one to the next."""

WATCHED: Final = 1.0
"""Seconds for which the loads behind one are counted."""

_PATIENCE: Final = 30.0


class Clears:
    """Clears everything through the first machine's control plane, as an operator would, and counts loads on all.

    Args:
        urls: The control plane of each machine.
        token: What they want, if anything.
        screen: Shows what happens.
        post: Runs a call where the screen is used.
    """

    def __init__(
        self, urls: Sequence[str], token: str | None, screen: Screen, post: Callable[[Callable[[], None]], None]
    ) -> None:
        self._urls = urls
        self._token = token
        self._screen = screen
        self._post = post
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cenote-clears", daemon=True)

    def begin(self) -> None:
        """Begin: the traffic has."""
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        # A request that is under way is not waited for: who should answer it may have ended.
        self._stopping.set()

    def _run(self) -> None:
        wait = FIRST_AFTER
        while not self._stopping.wait(wait):
            try:
                self._clear()
            except Failure as failure:
                receipt = Receipt(1, error=str(failure), level=str((failure.answer or {}).get("level", "none")))
                self._show(receipt)
            wait = EVERY - WATCHED

    def _clear(self) -> None:
        with self._client(self._urls[0]) as client:
            answer = client.clear_all(reason="the demonstration")
        members = answer.get("members") or []
        receipt = Receipt(
            1,
            level=str(answer.get("level")),
            acknowledged=sum(bool(member["acknowledged"]) for member in members),
            members=len(members),
            entries=answer["entriesCleared"],
            milliseconds=answer["durationMs"],
            receipt=answer["clearId"],
        )
        # Before anything else: what is loaded from here on was asked for after the clear.
        before = [self._loads(url) for url in self._urls]
        self._show(receipt)
        if not self._stopping.wait(WATCHED):
            loads = [self._loads(url) - already for url, already in zip(self._urls, before, strict=True)]
            reloads = Reloads(WATCHED, loads)
            self._post(lambda: self._screen.reloaded(reloads))

    def _show(self, receipt: Receipt) -> None:
        if not self._stopping.is_set():
            self._post(lambda: self._screen.cleared(receipt))

    def _loads(self, url: str) -> int:
        """Return how many values a machine has loaded, in all caches."""
        with self._client(url) as client:
            stats = client.stats()
        caches: list[dict[str, Any]] = [stats["globalCache"], *stats["serviceCaches"].values()]
        return sum(cache["loads"] for cache in caches)

    def _client(self, url: str) -> CenoteClient:
        return CenoteClient(url, self._token, _PATIENCE)
