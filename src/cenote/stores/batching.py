"""Batching: what the tasks of an event loop ask for in one tick is asked in one round trip; no loop waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Final, Generic, Protocol, TypeVar

from cenote.errors import StoreError
from cenote.workers import workers

__all__ = ["Asker", "Batching"]

logger = logging.getLogger("cenote")

MOST: Final = 128
"""How many different questions go together."""

_FEW: Final = 8
"""How many questions are not worth a round trip of their own while there may be more of this tick."""

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
        return (self._loops.get(loop) or self._began(loop)).ask(question)

    def _began(self, loop: asyncio.AbstractEventLoop) -> _Loop[Q, A]:
        for closed in [each for each in list(self._loops) if each.is_closed()]:
            # Another thread may come upon the same ones.
            former = self._loops.pop(closed, None)
            if former is not None:
                former.close()
        began = self._loops[loop] = _Loop(loop, self._answer, self._lacking, self._asker)
        return began

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
        self._open: dict[Q, asyncio.Future[A]] = {}
        self._also: dict[Q, list[asyncio.Future[A]]] = {}
        self._under_way = 0
        """How many batches are under way."""
        self._waited_for = 0
        """How many questions these have."""
        self._answered = 0
        """How many have been answered since some were sent: who asked these may be about to ask again."""
        self._half = _FEW
        """How many questions go at once: while the server answers these, the loop sees to the tasks of the others."""
        self._called = False
        """Whether the rest of this tick's questions go at its end."""

    def ask(self, question: Q) -> asyncio.Future[A]:
        future: asyncio.Future[A] = self._loop.create_future()
        if self._open.setdefault(question, future) is not future:
            self._also.setdefault(question, []).append(future)
        if self._under_way < AT_ONCE:
            if len(self._open) >= self._half:
                self._send()
            else:
                self._send_soon()
        return future

    def _send_soon(self) -> None:
        """Send behind all tasks that are ready now: what they ask belongs to this tick."""
        if not self._called:
            self._called = True
            self._loop.call_soon(self._end_tick)

    def _end_tick(self) -> None:
        self._called = False
        self._send()

    def _send(self) -> None:
        while self._open and self._under_way < AT_ONCE:
            batch = self._next()
            self._under_way += 1
            self._waited_for += len(batch.questions)
            self._answered = 0
            try:
                sent = self._ask_here(batch)
            except Exception:
                logger.exception("an event loop cannot ask by itself")
                sent = False
            if not sent:
                self._ask_in_thread(batch)

    def _next(self) -> _Batch[Q, A]:
        if len(self._open) <= MOST:
            opened, also = self._open, self._also
            self._open, self._also = {}, {}
        else:
            opened = {question: self._open.pop(question) for question in list(islice(self._open, MOST))}
            also = {question: self._also.pop(question) for question in opened.keys() & self._also.keys()}
        return _Batch(list(opened), list(opened.values()), also)

    def _ask_here(self, batch: _Batch[Q, A]) -> bool:
        asker = self._asker
        if asker is None or not asker.open:
            asker = self._asker = self._find_asker(self._loop)

        def done(answers: Sequence[A] | None) -> None:
            if answers is None:
                self._ask_in_thread(batch)
            else:
                self._deliver(batch, answers, None)

        return asker is not None and asker.ask(batch.questions, done)

    def _ask_in_thread(self, batch: _Batch[Q, A]) -> None:
        try:
            workers.submit(partial(self._run, batch))
        except RuntimeError as error:
            logger.warning("there is no thread to read in: %s", error)
            self._deliver(batch, [self._lacking] * len(batch.questions), None)

    def _run(self, batch: _Batch[Q, A]) -> None:
        answers: Sequence[A] = [self._lacking] * len(batch.questions)
        failure = None
        try:
            answers = self._answer(batch.questions)
        except StoreError:
            pass  # the link has said so
        except Exception as error:  # noqa: BLE001  # whoever asked is told
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._deliver, batch, answers, failure)
        except RuntimeError:
            logger.debug("an event loop was closed while one of its tasks read from the server")

    def _deliver(self, batch: _Batch[Q, A], answers: Sequence[A], failure: Exception | None) -> None:
        # Half of what all ask together goes as soon as it is asked; where they ask less, soon less goes.
        self._half = max(_FEW, self._half - 1, (self._waited_for + len(self._open) + self._answered) // 2)
        self._under_way -= 1
        self._waited_for -= len(batch.questions)
        self._answered += len(batch.questions)
        if failure is not None:
            batch.fail(failure)
        else:
            batch.answer(answers)
        if self._open:
            self._send_soon()

    def close(self) -> None:
        if self._asker is not None:
            self._asker.close()


@dataclass(slots=True)
class _Batch(Generic[Q, A]):
    """Questions that go together, who waits for the answer to each, and who else asked the same."""

    questions: list[Q]
    waiting: list[asyncio.Future[A]]
    also: dict[Q, list[asyncio.Future[A]]]

    def answer(self, answers: Sequence[A]) -> None:
        for future, answer in zip(self.waiting, answers, strict=True):
            # Asking first whether somebody waits still would cost every one of them.
            try:
                future.set_result(answer)
            except asyncio.InvalidStateError:
                continue
        if self.also:
            for question, answer in zip(self.questions, answers, strict=True):
                for future in self.also.get(question, ()):
                    if not future.done():
                        future.set_result(answer)

    def fail(self, failure: Exception) -> None:
        for future in chain(self.waiting, *self.also.values()):
            if not future.done():
                future.set_exception(failure)
