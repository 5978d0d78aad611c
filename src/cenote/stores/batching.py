"""Batching: what the tasks of an event loop ask for in one tick is asked in one round trip; no loop waits for it."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from cenote.errors import StoreError
from cenote.workers import workers

__all__ = ["Asker", "Batching"]

logger = logging.getLogger("cenote")

MOST: Final = 128
"""How many different questions go together."""

_FEW: Final = 8
"""Up to how many go together where none is under way."""

AT_ONCE: Final = 2
"""How many batches of one event loop are under way; what is asked meanwhile makes up the next one."""

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")
Asks_contra = TypeVar("Asks_contra", bound=Hashable, contravariant=True)
Told_co = TypeVar("Told_co", covariant=True)


class Asker(Protocol[Asks_contra, Told_co]):
    """What asks in an event loop itself, without a thread."""

    @property
    def open(self) -> bool:
        """Whether it can be used; once it cannot it never can again."""

    def ask(self, questions: Sequence[Asks_contra], done: Callable[[Sequence[Told_co] | None], None]) -> bool:
        """Ask, and return at once whether that was possible; if so ``done`` is called with the answers in a while.

        It is called with None where a thread should ask instead.
        """

    def close(self) -> None:
        """Use it no more; its event loop is closed."""


class Batching(Generic[Q, A]):
    """Questions of any number of event loops, each loop's by themselves.

    A loop's questions are touched by its own thread alone, so no lock is needed.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[A]],
        lacking: A,
        asker: Callable[[asyncio.AbstractEventLoop], Asker[Q, A] | None] = lambda _: None,
    ) -> None:
        """Ask nothing yet.

        Args:
            answer: Answers questions, in their order; called in a worker thread.
            lacking: What is answered where that raises StoreError, or no thread is to be had.
            asker: Returns what asks in the running event loop itself, if there is something now.
        """
        self._answer = answer
        self._lacking = lacking
        self._asker = asker
        self._loops: dict[asyncio.AbstractEventLoop, _Loop[Q, A]] = {}

    def ask(self, question: Q) -> asyncio.Future[A]:
        """Return a future of the answer to a question, for the running event loop."""
        loop = asyncio.get_running_loop()
        asked = self._loops.get(loop)
        if asked is None:
            for closed in [each for each in list(self._loops) if each.is_closed()]:
                # Another thread may come upon the same ones.
                former = self._loops.pop(closed, None)
                if former is not None:
                    former.close()
            asked = self._loops[loop] = _Loop(loop, self._answer, self._lacking, self._asker)
        return asked.ask(question)

    def after_fork(self) -> None:
        """In a forked child, where no worker goes on: forget what was asked."""
        self._loops = {}


class _Loop(Generic[Q, A]):
    """The questions of one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: Callable[[Sequence[Q]], Sequence[A]],
        lacking: A,
        asker: Callable[[asyncio.AbstractEventLoop], Asker[Q, A] | None],
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._lacking = lacking
        self._find_asker = asker
        self._asker: Asker[Q, A] | None = None
        self._open: dict[Q, list[asyncio.Future[A]]] = {}
        self._under_way = 0
        self._called = False

    def ask(self, question: Q) -> asyncio.Future[A]:
        future: asyncio.Future[A] = self._loop.create_future()
        waiting = self._open.get(question)
        if waiting is None:
            self._open[question] = [future]
        else:
            waiting.append(future)
        if not self._called and self._under_way < AT_ONCE:
            # Behind all tasks that are ready now: they belong to this tick.
            self._called = True
            self._loop.call_soon(self._send)
        return future

    def _send(self) -> None:
        self._called = False
        while self._open and self._under_way < AT_ONCE:
            questions = list(islice(self._open, self._enough()))
            waiting = [self._open.pop(question) for question in questions]
            self._under_way += 1
            try:
                sent = self._ask_here(questions, waiting)
            except Exception:
                logger.exception("an event loop cannot ask by itself")
                sent = False
            if not sent:
                self._ask_in_thread(questions, waiting)

    def _enough(self) -> int:
        """Return how many questions go next: while the server answers one half, the loop sees to the other's tasks."""
        asked = len(self._open)
        return min(MOST, asked if self._under_way or asked <= _FEW else (asked + 1) // 2)

    def _ask_here(self, questions: list[Q], waiting: list[list[asyncio.Future[A]]]) -> bool:
        asker = self._asker
        if asker is None or not asker.open:
            asker = self._asker = self._find_asker(self._loop)

        def done(answers: Sequence[A] | None) -> None:
            if answers is None:
                self._ask_in_thread(questions, waiting)
            else:
                self._deliver(waiting, answers, None)

        return asker is not None and asker.ask(questions, done)

    def _ask_in_thread(self, questions: list[Q], waiting: list[list[asyncio.Future[A]]]) -> None:
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

    def close(self) -> None:
        if self._asker is not None:
            self._asker.close()
