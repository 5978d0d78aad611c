"""Batching: what the tasks of an event loop ask for in one tick is asked in one round trip, off the loop."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

from cenote.errors import StoreError
from cenote.workers import workers

__all__ = ["Batching"]

logger = logging.getLogger("cenote")

MOST: Final = 128
"""How many different questions go together."""

AT_ONCE: Final = 2
"""How many batches of one event loop are under way; what is asked meanwhile makes up the next one."""

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")


class Batching(Generic[Q, A]):
    """Questions of any number of event loops, each loop's by themselves.

    A loop's questions are touched by its own thread alone, so no lock is needed.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Sequence[A]], lacking: A) -> None:
        """Ask nothing yet.

        Args:
            answer: Answers questions, in their order; called in a worker thread.
            lacking: What is answered where that raises StoreError, or no thread is to be had.
        """
        self._answer = answer
        self._lacking = lacking
        self._loops: dict[asyncio.AbstractEventLoop, _Loop[Q, A]] = {}

    def ask(self, question: Q) -> asyncio.Future[A]:
        """Return a future of the answer to a question, for the running event loop."""
        loop = asyncio.get_running_loop()
        asked = self._loops.get(loop)
        if asked is None:
            self._loops = {each: what for each, what in self._loops.items() if not each.is_closed()}
            asked = self._loops[loop] = _Loop(loop, self._answer, self._lacking)
        return asked.ask(question)

    def after_fork(self) -> None:
        """In a forked child, where no worker goes on: forget what was asked."""
        self._loops = {}


class _Loop(Generic[Q, A]):
    """The questions of one event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, answer: Callable[[Sequence[Q]], Sequence[A]], lacking: A
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._lacking = lacking
        self._open: dict[Q, list[asyncio.Future[A]]] = {}
        self._under_way = 0
        self._called = False

    def ask(self, question: Q) -> asyncio.Future[A]:
        future: asyncio.Future[A] = self._loop.create_future()
        self._open.setdefault(question, []).append(future)
        if not self._called and self._under_way < AT_ONCE:
            # Behind all tasks that are ready now: they belong to this tick.
            self._called = True
            self._loop.call_soon(self._send)
        return future

    def _send(self) -> None:
        self._called = False
        while self._open and self._under_way < AT_ONCE:
            questions = list(self._open)[:MOST]
            waiting = [self._open.pop(question) for question in questions]
            self._under_way += 1
            try:
                workers.submit(functools.partial(self._run, questions, waiting))
            except RuntimeError as error:
                logger.warning("there is no thread to read in: %s", error)
                self._deliver(waiting, [self._lacking] * len(waiting), None)

    def _run(self, questions: list[Q], waiting: list[list[asyncio.Future[A]]]) -> None:
        answers: Sequence[A] = [self._lacking] * len(questions)
        failure = None
        try:
            answers = self._answer(questions)
        except StoreError:
            pass  # the link has said so
        except Exception as error:  # noqa: BLE001  # whoever asked is told
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._deliver, waiting, answers, failure)
        except RuntimeError:
            logger.debug("an event loop was closed while one of its tasks read from the server")

    def _deliver(self, waiting: list[list[asyncio.Future[A]]], answers: Sequence[A], failure: Exception | None) -> None:
        self._under_way -= 1
        for futures, answer in zip(waiting, answers, strict=True):
            for future in futures:
                if future.done():
                    continue
                if failure is not None:
                    future.set_exception(failure)
                else:
                    future.set_result(answer)
        if self._open:
            self._send()
