"""A scheduler for threads: exactly one runs at a time, and a seed decides which.

Races hide between two lines that the interpreter hardly ever separates. Under this scheduler every line (or
every bytecode) of the chosen modules is a point at which another thread may go on, chosen by a seeded random
generator; a
run of some hundred seeds shows races that millions of free runs do not, and the seed shows them again::

    def make_threads():
        cache = CacheManager().service("books")
        return [lambda: cache.get_or_load("k", load), cache.clear]

    explore(make_threads, modules=[cenote])
    replay(make_threads, 17, modules=[cenote])          # after a failure that named seed 17

While it runs, ``cenote.locks`` makes locks and waiters that hand the turn on instead of blocking with it; so
build what is tested inside ``make_threads``. Threads that the tested code starts by itself take no part. A
thread blocked in something else (a real lock, a socket) loses its turn after a moment; only then does the
schedule depend on time. The same seed gives the same schedule in the same process; over processes also set
PYTHONHASHSEED if sets of strings steer the tested code. Tracers such as debuggers and coverage do not see the
threads that it runs.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from cenote import locks
from cenote.testing.strategies import is_beyond, make_strategy
from cenote.testing.turns import Aborted, CooperativeLock, CooperativeWaiter, Task, Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Exploration", "Scenario", "Scheduler", "checkpoint", "explore", "replay"]

Where: TypeAlias = ModuleType | str | os.PathLike[str] | Callable[[str], bool]

_STILL: Final = 2
_one_at_a_time = threading.Lock()
_active: Turns | None = None
_HERE = str(Path(__file__).parent) + os.sep


@dataclass(frozen=True, slots=True)
class Scenario:
    """Threads to run and what must hold when all have ended.

    Attributes:
        threads: What each thread calls.
        after: Called when all have ended; raises when something is wrong.
    """

    threads: Sequence[Callable[[], object]]
    after: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Exploration:
    """What an exploration covered.

    Attributes:
        schedules: How many seeds ran.
        distinct: How many different orders they gave.
        points: At how many lines in all a switch was possible; locks and checkpoints are not counted.
    """

    schedules: int
    distinct: int
    points: int


def checkpoint() -> None:
    """Offer a switch here: for code outside the chosen modules; without a schedule it does nothing."""
    turns = _active
    task = turns.task() if turns else None
    if turns and task:
        turns.point(task)


def _chooser(modules: Iterable[Where]) -> Callable[[str], bool]:
    files: set[str] = set()
    folders: list[str] = []
    predicates: list[Callable[[str], bool]] = []
    for where in modules:
        if isinstance(where, ModuleType):
            folders += [str(path) + os.sep for path in getattr(where, "__path__", ())]
            file: str | None = getattr(where, "__file__", None)
            if file:
                files.add(file)
        elif callable(where):
            predicates.append(where)
        else:
            files.add(os.fspath(where))
    known: dict[str, bool] = {}

    def chosen(name: str) -> bool:
        if name not in known:
            known[name] = (
                name in files
                or any(name.startswith(folder) for folder in folders)
                or any(predicate(name) for predicate in predicates)
            ) and not name.startswith(_HERE)
        return known[name]

    return chosen


def _ask_for_opcodes() -> None:
    """Make CPython 3.12 report bytecodes: ``settrace`` looks whether a traced frame ever asked."""

    def ask(frame: FrameType, _: str, __: object) -> None:
        frame.f_trace_opcodes = True

    def nothing() -> None:
        pass

    def traced() -> None:
        sys.settrace(ask)
        nothing()

    thread = threading.Thread(target=traced)
    thread.start()
    thread.join()


class Scheduler:
    """Runs callables as threads in an order that a seed decides; use it as a context manager, once.

    Args:
        seed: Decides the order.
        modules: Where the points are: modules, packages (with all that is in them), file names, or predicates
            of file names. Code compiled from a string goes by the name it was compiled under.
        opcodes: Whether every bytecode is a point, rather than every line.
        mode: "random", "every" (switch at every point), "bounded" (few preemptions), "mixed", which takes one
            of them by the seed, or "systematic", whose seeds count through all schedules with one preemption.
        preemptions: How many interruptions "bounded" allows.
        watchdog: After how many seconds at the same place a thread that has the turn loses it.
        patience: After how many seconds without progress the schedule is given up as a deadlock.
        max_steps: After how many points it is given up as endless.

    Attributes:
        seed: The seed.
        strategy: What decides by it.
    """

    def __init__(
        self,
        seed: int,
        *,
        modules: Iterable[Where],
        opcodes: bool = False,
        mode: str = "mixed",
        preemptions: int = 3,
        watchdog: float = 0.5,
        patience: float = 10.0,
        max_steps: int = 1_000_000,
    ) -> None:
        self.seed = seed
        self._chosen = _chooser(modules)
        self._opcodes = opcodes
        self._watchdog = watchdog
        self._patience = patience
        self.strategy = make_strategy(mode, seed, preemptions)
        self._turns = Turns(self.strategy, max_steps=max_steps)
        self._errors: list[BaseException] = []

    @property
    def trace(self) -> list[tuple[int, int]]:
        """The schedule so far: at each point the thread's number and the line, or 0 where none is."""
        return self._turns.trace

    def __enter__(self) -> Self:
        global _active  # noqa: PLW0603  # checkpoint() must find it
        _one_at_a_time.acquire()
        _active = turns = self._turns
        self._real = locks.make_lock, locks.make_waiter
        locks.make_lock = lambda: CooperativeLock(turns)
        locks.make_waiter = lambda: CooperativeWaiter(turns)  # type: ignore[assignment,return-value]  # alike
        self._gc = gc.isenabled()
        if self._opcodes:
            _ask_for_opcodes()
        gc.disable()  # finalizers at the mercy of the collector would change the schedule
        return self

    def __exit__(self, *exc_info: object) -> None:
        global _active  # noqa: PLW0603  # checkpoint() must find it
        locks.make_lock, locks.make_waiter = self._real
        _active = None
        if self._gc:
            gc.enable()
        _one_at_a_time.release()

    def run(self, functions: Iterable[Callable[[], object]]) -> None:
        """Run each in a thread of its own until all have ended.

        Args:
            functions: What the threads call.

        Raises:
            DeadlockError: If every thread waits, or none ends.
            BaseException: What the first failing thread raised.
        """
        turns = self._turns
        turns.tasks = [Task(number, function) for number, function in enumerate(functions)]
        if not turns.tasks:
            return
        threads = [
            threading.Thread(target=self._work, args=(task,), name=task.name, daemon=True) for task in turns.tasks
        ]
        turns.known.update(threads)
        self._tracing = threading.Barrier(len(threads) + 1)
        for thread, task in zip(threads, turns.tasks, strict=True):
            thread.start()
            task.ident = thread.ident or 0
            turns.by_ident[task.ident] = task
        self._tracing.wait()
        with turns.mutex:
            turns.dispatch()
        self._watch()
        for thread in threads:
            thread.join(1.0 if turns.aborting else None)
        if self._errors:
            raise self._errors[0]
        if turns.failure:
            raise turns.failure

    def _watch(self) -> None:
        turns = self._turns
        tick = self._watchdog / 2
        seen: tuple[object, ...] = ()
        still = 0
        while not turns.finished.wait(tick):
            task = turns.current
            frames = sys._current_frames()  # noqa: SLF001  # the only way to see whether a thread moves
            places = tuple((frame and (id(frame), frame.f_lasti)) for frame in map(frames.get, list(turns.by_ident)))
            now = (turns.steps, task, places)
            still = still + 1 if now == seen else 0
            seen = now
            if still * tick >= self._patience:
                turns.give_up(f"no progress for {self._patience:g} seconds")
            elif still >= _STILL and task is not None:
                turns.stray(task)
            elif still >= _STILL:
                turns.pass_time_anyway()

    def _work(self, task: Task) -> None:
        turns = self._turns
        # Before the first turn, and never undone: the events of one thread must not change while another
        # stands in its tracer. A thread's tracer ends with it.
        sys.settrace(self._tracer(task))
        self._tracing.wait()
        try:
            turns.wait_for_turn(task)
            task.traced = True
            task.function()
        except Aborted:
            pass
        except BaseException as error:  # noqa: BLE001  # run() raises it again
            self._errors.append(error)
        finally:
            task.traced = False
            turns.end(task)

    def _tracer(self, task: Task) -> Callable[[FrameType, str, Any], Any]:
        chosen, opcodes, point = self._chosen, self._opcodes, self._turns.point
        wanted = "opcode" if opcodes else "line"

        def on_line(frame: FrameType, event: str, _: object) -> Any:
            if event == wanted and task.traced:
                point(task, frame.f_lineno)
            return on_line

        def on_call(frame: FrameType, _: str, __: object) -> Any:
            if not (task.traced and chosen(frame.f_code.co_filename)):
                return None
            if opcodes:
                frame.f_trace = on_line  # CPython 3.13 ignores the next line without it
                frame.f_trace_opcodes = True
            return on_line

        return on_call


def _run(make_threads: Callable[[], Scenario | Iterable[Callable[[], object]]], scheduler: Scheduler) -> None:
    try:
        with scheduler:
            made = make_threads()
            scenario = made if isinstance(made, Scenario) else Scenario(list(made))
            scheduler.run(scenario.threads)
            if scenario.after is not None:
                scenario.after()
    except BaseException as error:
        turns = " ".join(f"{number}@{line}" for number, line in scheduler.trace[-12:])
        error.add_note(f"in the schedule of seed {scheduler.seed}: replay(make_threads, {scheduler.seed}, ...)")
        error.add_note(f"the last of its {len(scheduler.trace)} points (thread@line): {turns}")
        raise


def explore(
    make_threads: Callable[[], Scenario | Iterable[Callable[[], object]]],
    *,
    modules: Iterable[Where],
    seeds: Iterable[int] | None = None,
    **options: Any,
) -> Exploration:
    """Run a scenario under many schedules and raise the first failure, with its seed in a note.

    Args:
        make_threads: Builds everything anew and returns the threads' callables, or a Scenario.
        modules: Where the points are, see Scheduler.
        seeds: One schedule for each; the first 200 unless given, or in the systematic mode all that differ.
        options: Scheduler's other options.

    Returns:
        How much was covered.

    Raises:
        ValueError: If no point was met, because ``modules`` name nothing that ran.
        BaseException: What failed.
    """
    places = list(modules)
    count = points = 0
    distinct: set[int] = set()
    beyond = 0
    if seeds is None:
        seeds = itertools.count() if options.get("mode") == "systematic" else range(200)
    for seed in seeds:
        scheduler = Scheduler(seed, modules=places, **options)
        _run(make_threads, scheduler)
        count += 1
        points += sum(1 for _, line in scheduler.trace if line)
        distinct.add(hash(tuple(scheduler.trace)))
        needed = is_beyond(scheduler.strategy)
        beyond = beyond + 1 if needed else 0
        if needed and beyond >= needed:
            break
    if count and not points:
        msg = "no line of the chosen modules ran in a thread, so nothing was explored"
        raise ValueError(msg)
    return Exploration(count, len(distinct), points)


def replay(
    make_threads: Callable[[], Scenario | Iterable[Callable[[], object]]],
    seed: int,
    *,
    modules: Iterable[Where],
    **options: Any,
) -> list[tuple[int, int]]:
    """Run a scenario under the schedule of one seed.

    Args:
        make_threads: Builds everything anew and returns the threads' callables, or a Scenario.
        seed: The seed that a failure named.
        modules: The same as when it failed.
        options: The same as when it failed.

    Returns:
        The schedule: the thread's number and the line at each point, 0 inside a lock and at a checkpoint.
    """
    scheduler = Scheduler(seed, modules=modules, **options)
    _run(make_threads, scheduler)
    return scheduler.trace
