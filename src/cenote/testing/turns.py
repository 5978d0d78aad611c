"""Turns: one of several threads runs, the others wait, and whoever blocks hands its turn on.

``Turns`` is the part of the scheduler that knows who is ready; ``CooperativeLock`` and ``CooperativeWaiter``
take the place of what ``cenote.locks`` makes. Threads that take no part use both like the real ones.
"""

from __future__ import annotations

import sys
import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote.testing.strategies import Strategy

__all__ = ["Aborted", "CooperativeLock", "CooperativeWaiter", "DeadlockError", "Task", "Turns"]

READY, BLOCKED, STRAY, DONE = "ready", "blocked", "outside", "done"


class DeadlockError(AssertionError):
    """All threads of a schedule wait for each other; the message holds the stack of each."""


class Aborted(BaseException):
    """Ends a thread whose schedule was given up."""


class Task:
    """One thread that takes turns.

    Attributes:
        number: Its place in the list of threads.
        go: A bare lock that is released to give it the turn.
        status: "ready", "blocked", "outside" (blocked where nobody can see it) or "done".
        blocked_on: What it waits for.
        deadline: When it stops waiting, in seconds of the schedule's own time; None waits without limit.
        timed_out: Whether its last wait ended by its deadline.
        traced: Whether it is inside its function, where the lines are points.
    """

    __slots__ = (
        "blocked_on",
        "deadline",
        "function",
        "go",
        "ident",
        "name",
        "number",
        "status",
        "timed_out",
        "traced",
    )

    def __init__(self, number: int, function: Callable[[], object]) -> None:
        self.number = number
        self.function = function
        self.name = f"{number}:{getattr(function, '__name__', 'thread')}"
        self.go = threading.Lock()
        self.go.acquire()
        self.ident = 0
        self.status = READY
        self.blocked_on: object = None
        self.deadline: float | None = None
        self.timed_out = False
        self.traced = False


class Turns:
    """Whose turn it is.

    Args:
        strategy: Chooses among those that are ready.
        max_steps: After so many points the schedule is given up.

    Attributes:
        known: The threads that wake nobody: those that take turns, and those that ran before.
    """

    def __init__(self, strategy: Strategy, *, max_steps: int) -> None:
        self.mutex = threading.RLock()
        self.changed = threading.Condition(self.mutex)
        self.finished = threading.Event()
        self.tasks: list[Task] = []
        self.by_ident: dict[int, Task] = {}
        self.current: Task | None = None
        self.steps = 0
        self.trace: list[tuple[int, int]] = []
        self.aborting = False
        self.failure: BaseException | None = None
        self._strategy = strategy
        self._max_steps = max_steps
        self._now = 0.0
        self._in_a_row = 0
        self.known: set[threading.Thread] = set(threading.enumerate())

    def task(self) -> Task | None:
        """Return the calling thread's task; None when it takes no part."""
        return self.by_ident.get(threading.get_ident())

    def point(self, task: Task, line: int = 0) -> None:
        """Let somebody else run, if the strategy says so; called by a task between two steps of its own."""
        with self.mutex:
            if self.aborting:
                raise Aborted
            if self.current is task:
                self.steps += 1
                self.trace.append((task.number, line))
                if self.steps > self._max_steps:
                    self._give_up(f"no end after {self.steps} steps")
                    raise Aborted
                chosen = self._choose(task)
                if chosen is task:
                    return
                self._give(chosen)
            else:
                task.status = READY
                self.dispatch()
        self.wait_for_turn(task)

    def wait_for_turn(self, task: Task) -> None:
        """Wait until the task has the turn."""
        task.go.acquire()
        if self.aborting:
            raise Aborted

    def park(self, task: Task, on: object, timeout: float | None) -> None:
        """Take the turn from a task that waits for something; its thread holds the mutex, then waits."""
        if self.aborting:
            raise Aborted
        task.status = BLOCKED
        task.blocked_on = on
        task.deadline = None if timeout is None else self._now + timeout
        task.timed_out = False
        if self.current is task:
            self.current = None
        self.dispatch()

    def unpark(self, on: object) -> None:
        """Make ready all who wait for it; the caller holds the mutex."""
        for task in self.tasks:
            if task.status == BLOCKED and task.blocked_on is on:
                task.status = READY
        self.changed.notify_all()
        self.dispatch()

    def end(self, task: Task) -> None:
        """Record that a task has ended."""
        with self.mutex:
            task.status = DONE
            self.by_ident.pop(task.ident, None)
            if self.current is task:
                self.current = None
            if all(other.status == DONE for other in self.tasks):
                self.finished.set()
            else:
                self.dispatch()

    def dispatch(self) -> None:
        """Give the turn to somebody if nobody has it; the caller holds the mutex."""
        if self.current is not None or self.aborting or self.finished.is_set():
            return
        if any(task.status == READY for task in self.tasks):
            self._give(self._choose(None))
        elif not self._helpers():
            self.pass_time()

    def pass_time(self) -> None:
        """Let the nearest deadline come, as nobody can run; else it is a deadlock. The mutex is held."""
        waiting = [task for task in self.tasks if task.status == BLOCKED and task.deadline is not None]
        if waiting:
            nearest = min(waiting, key=lambda task: (task.deadline, task.number))
            self._now = nearest.deadline or self._now
            nearest.timed_out = True
            nearest.status = READY
            self._give(nearest)
        elif any(task.status != DONE for task in self.tasks):
            self._give_up("deadlock: every thread waits")

    def pass_time_anyway(self) -> None:
        """Let the nearest deadline come although a thread outside the schedule might still wake somebody."""
        with self.mutex:
            if self.current is None and any(task.status == BLOCKED and task.deadline for task in self.tasks):
                self.pass_time()

    def stray(self, task: Task) -> None:
        """Take the turn from a task that is blocked where the scheduler cannot see it."""
        with self.mutex:
            if self.current is task and not self.aborting:
                task.status = STRAY
                self.current = None
                self.dispatch()

    def stacks(self) -> str:
        """Return the stack of every thread that has not ended, without the scheduler's own frames."""
        frames = sys._current_frames()  # noqa: SLF001  # the only way to see another thread's stack
        parts = []
        for task in self.tasks:
            if task.status == DONE:
                continue
            stack = traceback.extract_stack(frames[task.ident]) if task.ident in frames else []
            own = [frame for frame in stack if frame.filename not in _OWN_FILES and "threading" not in frame.filename]
            lines = "".join(traceback.format_list(own)).rstrip()
            parts.append(f"thread {task.name} ({task.status}, waits for {task.blocked_on!r}):\n{lines}")
        return "\n".join(parts)

    def give_up(self, reason: str) -> None:
        """Abort the schedule, once and for all threads."""
        with self.mutex:
            if not self.aborting:
                self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        self.failure = DeadlockError(f"{reason}\n{self.stacks()}")
        self.aborting = True
        for task in self.tasks:
            if task.status != DONE and task.go.locked():
                task.go.release()
        self.changed.notify_all()
        self.finished.set()

    def _give(self, task: Task) -> None:
        task.blocked_on = None
        self.current = task
        task.go.release()

    def _choose(self, current: Task | None) -> Task:
        ready = [task.number for task in self.tasks if task.status == READY]
        chosen = self.tasks[self._strategy.pick(current.number if current else None, ready)]
        if chosen is not current:
            self._in_a_row = 0
            return chosen
        self._in_a_row += 1
        if self._in_a_row > _FAIRNESS and len(ready) > 1:
            # Somebody who spins until another thread acts must not spin alone for ever.
            self._in_a_row = 0
            return self.tasks[next(number for number in ready * 2 if number != chosen.number)]
        return chosen

    def _helpers(self) -> bool:
        """Tell whether a thread outside the schedule may yet wake somebody."""
        if any(task.status == STRAY for task in self.tasks):
            return True
        return not self.known.issuperset(threading.enumerate())


class CooperativeLock:
    """A re-entrant lock that hands the turn on instead of blocking with it."""

    __slots__ = ("_count", "_owner", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._owner: int | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002  # as RLock
        """Take the lock; the arguments are those of ``threading.RLock``."""
        turns, me = self._turns, threading.get_ident()
        task = turns.task()
        limit = None if timeout < 0 else timeout
        if task is None:
            with turns.mutex:
                if not turns.changed.wait_for(lambda: self._owner in {None, me}, timeout=limit if blocking else 0):
                    return False
                return self._take(me)
        if self._owner != me:
            turns.point(task)
        while True:
            with turns.mutex:
                if self._owner in {None, me}:
                    return self._take(me)
                if not blocking or limit == 0:
                    return False
                turns.park(task, self, limit)
            turns.wait_for_turn(task)
            if task.timed_out:
                task.timed_out = False
                return False

    def _take(self, me: int) -> bool:
        self._owner = me
        self._count += 1
        return True

    def release(self) -> None:
        """Give the lock back."""
        turns = self._turns
        if self._owner != threading.get_ident():
            msg = "cannot release a lock that this thread does not hold"
            raise RuntimeError(msg)
        task = turns.task()
        with turns.mutex:
            self._count -= 1
            if self._count:
                return
            self._owner = None
            turns.unpark(self)
        if task is not None and not turns.aborting:
            turns.point(task)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _is_owned(self) -> bool:
        return self._owner == threading.get_ident()

    def locked(self) -> bool:
        """Tell whether anybody holds it."""
        return self._owner is not None

    def __repr__(self) -> str:
        return f"<lock at {id(self):#x}>"


class CooperativeWaiter:
    """A one-shot signal that hands the turn on instead of blocking with it."""

    __slots__ = ("_turns", "_woken")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._woken = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is woken or until ``timeout`` seconds of the schedule's time passed; tells which."""
        turns = self._turns
        task = turns.task()
        if task is None:
            with turns.mutex:
                return turns.changed.wait_for(lambda: self._woken, timeout=timeout)
        turns.point(task)
        with turns.mutex:
            if self._woken:
                return True
            if timeout is not None and timeout <= 0:
                return False
            turns.park(task, self, timeout)
        turns.wait_for_turn(task)
        task.timed_out = False
        return self._woken

    def wake(self) -> None:
        """Let the waiting thread go on."""
        turns = self._turns
        task = turns.task()
        with turns.mutex:
            self._woken = True
            turns.unpark(self)
        if task is not None and not turns.aborting:
            turns.point(task)

    def __repr__(self) -> str:
        return f"<waiter at {id(self):#x}>"


_OWN_FILES = {__file__, __file__.replace("turns.py", "scheduler.py")}
_FAIRNESS = 20_000
