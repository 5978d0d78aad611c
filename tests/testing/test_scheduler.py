"""The yielding scheduler: it finds races that free threads hide, and finds them again."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cenote import locks
from cenote.testing.history import History, Stamped
from cenote.testing.scheduler import Scenario, Scheduler, checkpoint, explore, replay
from cenote.testing.turns import DeadlockError
from cenote.testing.verdict import assert_strict, check

HERE = sys.modules[__name__]
MODES = ["random", "every", "bounded", "mixed", "systematic"]


class Counter:
    def __init__(self) -> None:
        self.value = 0
        self.lock = locks.make_lock()

    def bump(self) -> None:
        value = self.value
        self.value = value + 1

    def bump_in_one_line(self) -> None:
        self.value += int("1")

    def bump_safely(self) -> None:
        with self.lock:
            self.bump()


def counting(name: str) -> Callable[[], Scenario]:
    def make_threads() -> Scenario:
        counter = Counter()

        def after() -> None:
            assert counter.value == 2

        return Scenario([getattr(counter, name), getattr(counter, name)], after)

    return make_threads


@pytest.mark.parametrize("mode", MODES)
def test_a_lost_update_is_found_in_every_mode(mode: str) -> None:
    with pytest.raises(AssertionError, match="assert 1 == 2"):
        explore(counting("bump"), modules=[HERE], mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_lock_that_guards_the_update_passes_all_schedules(mode: str) -> None:
    covered = explore(counting("bump_safely"), modules=[HERE], mode=mode)
    assert covered.schedules == 200 or mode == "systematic"
    assert covered.distinct >= (2 if mode == "every" else 5)
    assert covered.points > 100


def test_a_race_inside_one_line_is_found_between_bytecodes_only() -> None:
    explore(counting("bump_in_one_line"), modules=[HERE])
    with pytest.raises(AssertionError, match="assert 1 == 2"):
        explore(counting("bump_in_one_line"), modules=[HERE], opcodes=True)


def test_a_failure_names_the_seed_and_the_seed_shows_it_again() -> None:
    with pytest.raises(AssertionError) as caught:
        explore(counting("bump"), modules=[HERE])
    note = caught.value.__notes__[0]
    seed = int(note.split("of seed ")[1].split(":")[0])
    for _ in range(3):
        with pytest.raises(AssertionError, match="assert 1 == 2"):
            replay(counting("bump"), seed, modules=[HERE])


@pytest.mark.parametrize("opcodes", [False, True])
def test_the_same_seed_gives_the_same_schedule_and_others_differ(opcodes: bool) -> None:
    runs = [replay(counting("bump_safely"), seed, modules=[HERE], opcodes=opcodes) for seed in range(30)]
    again = [replay(counting("bump_safely"), seed, modules=[HERE], opcodes=opcodes) for seed in range(30)]
    assert runs == again
    assert len({tuple(run) for run in runs}) >= 5


class SwappedCache:
    """A small cache whose clear swaps its table; ``publish`` is right, or checks the table before it publishes."""

    def __init__(self, *, right: bool) -> None:
        self.table: dict[str, Any] = {}
        self.lock = locks.make_lock()
        self.right = right

    def get_or_load(self, key: str, load: Callable[[], Any]) -> Any:
        table = self.table
        if key in table:
            return table[key]
        value = load()
        if self.right:
            table[key] = value
        elif table is self.table:
            self.table[key] = value
        return value

    def clear(self) -> None:
        with self.lock:
            self.table = {}


def clearing_a_swapped_cache(*, right: bool) -> Scenario:
    history = History()
    cache = SwappedCache(right=right)
    load = history.loader(checkpoint)

    def read() -> None:
        for _ in range(2):
            history.observe(lambda: cache.get_or_load("k", load), cache="c", key="k")

    def clear() -> None:
        with history.invalidation(cache="c"):
            cache.clear()

    return Scenario([read, clear], lambda: assert_strict(history))


def test_check_then_publish_into_a_swapped_table_is_found() -> None:
    explore(lambda: clearing_a_swapped_cache(right=True), modules=[HERE])
    explore(lambda: clearing_a_swapped_cache(right=True), modules=[HERE], mode="systematic")
    with pytest.raises(AssertionError, match="strict clear broken by") as caught:
        explore(lambda: clearing_a_swapped_cache(right=False), modules=[HERE], mode="systematic")
    assert "seed" in caught.value.__notes__[0]


def test_check_then_publish_stays_invisible_to_free_threads() -> None:
    history = History()
    cache = SwappedCache(right=False)
    load = history.loader(lambda: None)

    def read() -> None:
        for _ in range(2000):
            history.observe(lambda: cache.get_or_load("k", load), cache="c", key="k")

    def clear() -> None:
        for _ in range(200):
            with history.invalidation(cache="c"):
                cache.clear()

    threads = [threading.Thread(target=work) for work in (read, clear, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(check(history)) < len(history.reads) / 100


def test_the_systematic_mode_runs_every_schedule_with_one_preemption_once() -> None:
    order: list[str] = []
    seen: list[str] = []

    def make_threads() -> Scenario:
        order.clear()

        def work(name: str) -> None:
            for _ in range(2):
                order.append(name)
                checkpoint()

        return Scenario([lambda: work("a"), lambda: work("b")], lambda: seen.append("".join(order)))

    explore(make_threads, modules=[HERE], mode="systematic")
    assert set(seen) == {"aabb", "bbaa", "abba", "baab"}


class State:
    def __init__(self, applied: int) -> None:
        self.table: dict[str, Any] = {}
        self.applied = applied


class LoggedCache:
    """A small cache over a shared head; ``applied`` is kept in the State, or (wrongly) beside it."""

    def __init__(self, *, apart: bool) -> None:
        self.head = 0
        self.applied = 0
        self.state = State(0)
        self.apart = apart
        self.lock = locks.make_lock()

    def get_or_load(self, key: str, load: Callable[[], Any]) -> Any:
        state = self.state
        head = self.head
        applied = self.applied if self.apart else state.applied
        if applied != head:
            state = self.apply(head)
        if key not in state.table:
            state.table[key] = load()
        return state.table[key]

    def apply(self, head: int) -> State:
        with self.lock:
            if self.state.applied < head:
                self.applied = head
                self.state = State(head)
            return self.state

    def clear(self) -> None:
        with self.lock:
            self.head += 1


def clearing_a_logged_cache(*, apart: bool) -> Scenario:
    history = History()
    cache = LoggedCache(apart=apart)
    load = history.loader(lambda: None)
    cache.get_or_load("k", load)

    def read() -> None:
        history.observe(lambda: cache.get_or_load("k", load), cache="c", key="k")

    def clear() -> None:
        with history.invalidation(cache="c"):
            cache.clear()
        read()

    return Scenario([clear, read, read], lambda: assert_strict(history))


def test_an_applied_kept_apart_from_the_state_is_found() -> None:
    explore(lambda: clearing_a_logged_cache(apart=False), modules=[HERE])
    with pytest.raises(AssertionError, match="strict clear broken by"):
        explore(lambda: clearing_a_logged_cache(apart=True), modules=[HERE])


def test_locks_taken_in_opposite_orders_are_reported_as_a_deadlock_with_each_stack() -> None:
    def make_threads() -> list[Callable[[], None]]:
        first, second = locks.make_lock(), locks.make_lock()

        def forwards() -> None:
            with first, second:
                pass

        def backwards() -> None:
            with second, first:
                pass

        return [forwards, backwards]

    with pytest.raises(DeadlockError) as caught:
        explore(make_threads, modules=[HERE])
    report = str(caught.value)
    assert "deadlock: every thread waits" in report
    assert "thread 0:forwards (blocked, waits for <lock" in report
    assert "thread 1:backwards (blocked, waits for <lock" in report
    assert "with second, first:" in report
    assert "turns.py" not in report


def test_a_waiter_hands_the_turn_on_and_is_woken() -> None:
    def make_threads() -> Scenario:
        waiter = locks.make_waiter()
        seen: list[bool] = []
        return Scenario(
            [lambda: seen.append(waiter.wait(None)), waiter.wake],
            lambda: seen == [True] or pytest.fail(repr(seen)),
        )

    assert explore(make_threads, modules=[HERE], seeds=range(50)).points > 0


def test_a_waiter_that_nobody_wakes_is_a_deadlock() -> None:
    with pytest.raises(DeadlockError, match="waits for <waiter"):
        replay(lambda: [lambda: locks.make_waiter().wait()], 0, modules=[HERE])


def test_deadlines_come_in_order_when_nobody_can_run_and_take_no_real_time() -> None:
    order: list[tuple[str, bool]] = []

    def wait(name: str, seconds: float) -> None:
        waiter = locks.make_waiter()
        order.append((name, waiter.wait(seconds)))

    def make_threads() -> list[Callable[[], None]]:
        order.clear()
        return [lambda: wait("late", 7200), lambda: wait("early", 3600)]

    explore(make_threads, modules=[HERE], seeds=range(20))
    assert order == [("early", False), ("late", False)]


def test_a_lock_with_a_deadline_gives_up_only_when_nobody_can_run() -> None:
    seen: set[bool] = set()

    def make_threads() -> Scenario:
        lock, waiter = locks.make_lock(), locks.make_waiter()
        got: list[bool] = []

        def hold() -> None:
            with lock:
                waiter.wait(100)

        def try_it() -> None:
            got.append(lock.acquire(timeout=10))
            if got[0]:
                lock.release()

        def after() -> None:
            seen.update(got)

        return Scenario([hold, try_it], after)

    explore(make_threads, modules=[HERE], seeds=range(30))
    assert seen == {True, False}


def test_the_lock_is_reentrant_and_knows_its_owner() -> None:
    def make_threads() -> list[Callable[[], None]]:
        lock = locks.make_lock()

        def work() -> None:
            assert not lock._is_owned()
            with lock, lock:
                assert lock._is_owned()
                assert lock.acquire(blocking=False)
                lock.release()
            assert not lock._is_owned()
            with pytest.raises(RuntimeError, match="does not hold"):
                lock.release()

        return [work, work]

    explore(make_threads, modules=[HERE], seeds=range(30))


def test_a_thread_blocked_outside_lets_the_others_go_on() -> None:
    done: list[str] = []

    def make_threads() -> list[Callable[[], None]]:
        done.clear()
        real = threading.Event()

        def blocked() -> None:
            real.wait()
            done.append("blocked")

        def helping() -> None:
            done.append("helping")
            real.set()

        return [blocked, helping]

    for seed in range(4):
        replay(make_threads, seed, modules=[HERE], watchdog=0.02)
        assert sorted(done) == ["blocked", "helping"]


def test_threads_that_wait_for_each_other_outside_are_given_up_with_their_stacks() -> None:
    real = threading.Event()

    def wait() -> None:
        real.wait()

    with pytest.raises(DeadlockError, match=r"(?s)no progress for 0\.2 seconds.*real\.wait") as caught:
        replay(lambda: [wait], 0, modules=[HERE], watchdog=0.02, patience=0.2)
    real.set()
    assert "outside" in str(caught.value)


def test_a_background_thread_takes_no_part_but_may_use_the_locks() -> None:
    def make_threads() -> Scenario:
        lock, waiter = locks.make_lock(), locks.make_waiter()
        seen: list[str] = []

        def keeper() -> None:
            with lock:
                seen.append("keeper")
            waiter.wake()

        background = threading.Thread(target=keeper)

        def work() -> None:
            background.start()
            assert waiter.wait(60)
            with lock:
                seen.append("work")

        def after() -> None:
            background.join()
            assert seen == ["keeper", "work"]

        return Scenario([work], after)

    began = time.monotonic()
    explore(make_threads, modules=[HERE], seeds=range(10))
    assert time.monotonic() - began < 30


def test_locks_made_under_it_work_when_it_is_over_and_the_real_ones_are_back() -> None:
    real = locks.make_lock, locks.make_waiter
    with Scheduler(0, modules=[HERE]) as scheduler:
        assert (locks.make_lock, locks.make_waiter) != real
        lock, waiter = locks.make_lock(), locks.make_waiter()
        scheduler.run([lambda: lock.acquire() and lock.release()])
    assert (locks.make_lock, locks.make_waiter) == real
    with lock:
        assert lock._is_owned()
    waiter.wake()
    assert waiter.wait(0)
    assert not locks.make_waiter().wait(0)


def test_an_exception_in_a_thread_is_raised_and_its_lock_was_given_back() -> None:
    def make_threads() -> list[Callable[[], None]]:
        lock = locks.make_lock()

        def fail() -> None:
            with lock:
                raise LookupError("mine")

        def wait() -> None:
            with lock:
                pass

        return [fail, wait]

    with pytest.raises(LookupError, match="mine") as caught:
        explore(make_threads, modules=[HERE])
    assert "seed 0" in caught.value.__notes__[0]


def test_a_thread_that_spins_for_another_does_not_spin_for_ever() -> None:
    def make_threads() -> list[Callable[[], None]]:
        flag: list[int] = []

        def spin() -> None:
            while not flag:
                pass

        return [spin, lambda: flag.append(1)]

    explore(make_threads, modules=[HERE], mode="bounded", preemptions=0, seeds=range(6))


def test_a_schedule_without_end_is_given_up() -> None:
    def spin() -> None:
        while True:
            pass

    with pytest.raises(DeadlockError, match="no end after 501 steps"):
        replay(lambda: [spin, spin], 0, modules=[HERE], max_steps=500)


def test_modules_that_never_run_are_refused_rather_than_praised() -> None:
    with pytest.raises(ValueError, match="nothing was explored"):
        explore(counting("bump"), modules=[threading], seeds=range(2))


def test_checkpoints_alone_do_not_count_as_exploration() -> None:
    with pytest.raises(ValueError, match="nothing was explored"):
        explore(lambda: [checkpoint, checkpoint], modules=[threading.__name__], seeds=range(3))


def test_code_compiled_from_a_string_is_chosen_by_its_name_or_by_a_predicate() -> None:
    namespace: dict[str, Any] = {}
    source = "def work():\n    x = 1\n    return x\n"
    exec(compile(source, "<generated work>", "exec"), namespace)  # as memoize does
    for where in ("<generated work>", lambda name: name.startswith("<generated")):
        trace = replay(lambda: [namespace["work"]], 0, modules=[where])
        assert [line for _, line in trace] == [2, 3]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="random, every, bounded"):
        Scheduler(0, modules=[HERE], mode="wild")


def test_a_checkpoint_outside_a_schedule_does_nothing() -> None:
    assert checkpoint() is None


def test_values_loaded_under_it_carry_births() -> None:
    history = History()
    seen: list[Stamped] = []
    replay(lambda: [lambda: seen.append(history.loader(checkpoint)())], 3, modules=[HERE])
    assert seen[0].birth == 1
