"""Interleavings that a review thought of: each is forced, none is waited for."""

import asyncio
import gc
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

import cenote
from cenote import CacheManager, aloading, approach, clearing, loading, waits
from cenote.cache import Cache
from cenote.core import CacheCore
from cenote.errors import LoadTimeoutError, ReentrantError
from cenote.keeper import Keeper
from cenote.signature import Shape
from cenote.terms import Terms
from cenote.testing import FakeClock, History, Scenario, assert_strict, checkpoint, explore
from cenote.workers import Workers

SOON = 10.0
"""Seconds after which a thread that does not end is taken for hung."""


@contextmanager
def before_line(function: Callable[..., Any], text: str, action: Callable[[], object]) -> Iterator[None]:
    """Run an action once, in this thread, before it reaches the first line of a function that holds a text."""
    lines, first = inspect.getsourcelines(function)
    number = first + next(index for index, line in enumerate(lines) if text in line)
    actions = [action]

    def on_line(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and frame.f_lineno == number and actions:
            actions.pop()()
        return on_line

    def on_call(frame: FrameType, _: str, __: object) -> Any:
        return on_line if frame.f_code is function.__code__ else None

    former = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(former)
    assert not actions, f"{text!r} was not reached"


def in_thread(function: Callable[[], object]) -> threading.Thread:
    """Start a function in a thread."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def ended(*threads: threading.Thread) -> bool:
    """Whether all threads end."""
    for thread in threads:
        thread.join(SOON)
    return not any(thread.is_alive() for thread in threads)


def interrupt() -> None:
    raise KeyboardInterrupt


class Gate:
    """A loader that says when it began and ends when it is let go."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.began = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> Any:
        self.began.set()
        assert self.go.wait(SOON)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def test_a_reload_ahead_is_not_stored_after_a_tag_that_its_value_turns_out_to_carry() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", ttl=100, refresh_ahead=0.5)
    load: Callable[[], Any] = lambda: {"tag": "a", "n": 1}  # noqa: E731
    cache.get_or_load("k", load, tags=lambda value: [value["tag"]])
    clock.advance(60)
    load = gate = Gate({"tag": "b", "n": 2})
    cache.get_or_load("k", load, tags=lambda value: [value["tag"]])
    assert gate.began.wait(SOON)
    flight = next(iter(cache._core.state.flights.values()))
    cache.invalidate_tags("b")
    over = threading.Event()
    flight.wakers.append(over.set)
    gate.go.set()
    assert over.wait(SOON)
    assert cache.get("k") != {"tag": "b", "n": 2}


def test_nobody_joins_a_load_of_unknown_tags_after_an_invalidation_that_may_cover_it() -> None:
    cache = CacheManager().service("s")
    gate = Gate("old")
    first = in_thread(lambda: cache.get_or_load("k", gate, tags=lambda _: ["t"]))
    assert gate.began.wait(SOON)
    cache.invalidate_tags("t")
    got: list[str] = []
    later = in_thread(lambda: got.append(cache.get_or_load("k", lambda: "new", tags=lambda _: ["t"])))
    later.join(0.5)
    gate.go.set()
    assert ended(first, later)
    assert got == ["new"]
    assert cache.get("k") == "new"


def test_a_stale_value_is_not_served_for_ever_because_of_a_reload_whose_loop_was_lost() -> None:
    cache = CacheManager().service("s", stale_while_revalidate=10)
    cache.set("k", "old")
    cache.clear(mode="soft")
    loop = asyncio.new_event_loop()

    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    assert loop.run_until_complete(cache.aget_or_load("k", hang)) == "old"
    loop.run_until_complete(asyncio.sleep(0))
    tasks = asyncio.all_tasks(loop)
    assert cache.get("k") is None
    reloaded = threading.Event()

    def load() -> str:
        flight = cache._core.state.flights[0, "k"]
        flight.wakers.append(reloaded.set)
        return "new"

    assert cache.get_or_load("k", load) == "old"
    assert reloaded.wait(SOON)
    assert cache.get("k") == "new"
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


def test_a_remembered_failure_leaves_with_the_tags_of_its_load() -> None:
    cache = CacheManager().service("s", negative_ttl=60)
    answers: list[Any] = [KeyError("no such row"), "the row"]

    def load() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(KeyError):
        cache.get_or_load("k", load, tags=["table"])
    assert cache.invalidate_tags("table") == 1
    assert cache.get_or_load("k", load, tags=["table"]) == "the row"


def test_a_failure_of_unknown_tags_is_not_remembered_across_an_invalidation() -> None:
    cache = CacheManager().service("s", negative_ttl=60)
    gate = Gate(KeyError("no such row"))
    caught: list[BaseException] = []

    def read() -> None:
        try:
            cache.get_or_load("k", gate, tags=lambda _: ["table"])
        except KeyError as error:
            caught.append(error)

    reader = in_thread(read)
    assert gate.began.wait(SOON)
    cache.invalidate_tags("table")
    gate.go.set()
    assert ended(reader)
    assert caught
    assert cache.get_or_load("k", lambda: "the row") == "the row"


@pytest.mark.parametrize("scope", [{"prefix": "k"}, {"tags": ["t"]}])
@pytest.mark.parametrize("tags", [["t"], lambda _: ["t"]])
def test_a_load_from_before_a_selective_soft_clear_is_stored_as_stale(scope: dict[str, Any], tags: Any) -> None:
    cache = CacheManager().service("s", ttl=100, stale_while_revalidate=50)
    gate = Gate("old")
    reader = in_thread(lambda: cache.get_or_load("k", gate, tags=tags))
    assert gate.began.wait(SOON)
    token = cache.fill("k2")
    cache.clear(mode="soft", **scope)
    gate.go.set()
    assert ended(reader)
    assert cache.explain("k").state == "stale"
    assert token.set("older", tags=["t"])
    assert cache.explain("k2").state == "stale"


def _memoized(cache: Any, name: str, answer: str) -> Any:
    def function(x: str) -> str:
        return f"{answer} {x}"

    return cache.memoize(name=name)(function)


def test_a_fill_token_of_a_dead_function_stores_nothing_in_the_table_that_another_got() -> None:
    cache = CacheManager().service("s")
    dead = _memoized(cache, "dead", "dead")
    token = cache.fill(dead.key("x"))
    del dead
    gc.collect()
    alive = _memoized(cache, "alive", "alive")
    assert not token.set("of the dead")
    assert alive("x") == "alive x"
    assert cache.clear(prefix="alive(").entries_cleared == 1


def test_refresh_outlives_its_function_without_touching_the_table_that_another_got() -> None:
    cache = CacheManager().service("s")
    dead = _memoized(cache, "dead", "dead")
    refresh, forget = dead.refresh, dead.invalidate
    del dead
    gc.collect()
    alive = _memoized(cache, "alive", "alive")
    assert refresh("x") == "dead x"
    assert alive("x") == "alive x"
    assert forget("x")
    assert refresh("x") == "dead x"
    assert alive("x") == "alive x"


@pytest.mark.parametrize("write", ["set", "get_or_load", "fill"])
def test_what_was_resolved_to_a_dead_function_is_not_stored_for_the_next_one(write: str) -> None:
    cache = CacheManager().service("s")
    dead = [_memoized(cache, "dead", "dead")]
    alive: list[Any] = []

    def replace() -> None:
        dead.clear()
        gc.collect()
        alive.append(_memoized(cache, "alive", "alive"))

    if write == "set":
        with before_line(CacheCore.store_value, "with self.changing", replace):
            cache.set("dead('x')", "of the dead")
    elif write == "fill":
        with before_line(CacheCore.new_fill, "with self.changing", replace):
            token = cache.fill("dead('x')")
        assert not token.set("of the dead")
    else:
        with before_line(approach.approach, "with core.lock", replace):
            assert cache.get_or_load("dead('x')", lambda: "of the dead") == "of the dead"
    assert alive[0]("x") == "alive x"


def test_an_identifier_that_was_stored_before_its_function_was_made_can_be_deleted() -> None:
    cache = CacheManager().service("s")
    cache.set("late('x')", "old")
    token = cache.fill("late('y')")
    late = _memoized(cache, "late", "late")
    cache.delete("late('x')")
    assert cache.get("late('x')") is None
    assert not token.set("old")
    assert late("x") == "late x"
    assert cache.get("late('x')") == "late x"


def test_a_set_that_was_resolved_before_its_function_was_made_is_not_left_out_of_reach() -> None:
    cache = CacheManager().service("s")
    late: list[Any] = []
    with before_line(
        CacheCore.store_value, "with self.changing", lambda: late.append(_memoized(cache, "late", "late"))
    ):
        cache.set("late('x')", "old")
    cache.delete("late('x')")
    assert cache.get("late('x')") is None


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_load_of_many_that_meets_an_error_midway_leaves_no_flight_behind(asynchronous: bool) -> None:
    cache = CacheManager().service("s", negative_ttl=60)

    def fail() -> None:
        raise KeyError("no such row")

    with pytest.raises(KeyError):
        cache.get_or_load("b", fail)

    def load_both() -> None:
        if asynchronous:
            asyncio.run(cache.aget_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1)))
        else:
            cache.get_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))

    with pytest.raises(KeyError):
        load_both()
    assert not cache._core.state.flights
    got: list[Any] = []
    assert ended(in_thread(lambda: got.append(cache.get_or_load("a", lambda: 2))))
    assert got == [2]


@pytest.mark.parametrize(
    ("function", "text"),
    [(loading._lead, "token ="), (loading.load, "if step is Step.LEAD:"), (approach._register, "return flight")],
)
def test_an_interrupt_before_the_loader_runs_leaves_no_flight_behind(function: Any, text: str) -> None:
    cache = CacheManager().service("s")
    with before_line(function, text, interrupt), pytest.raises(KeyboardInterrupt):
        cache.get_or_load("k", lambda: 1)
    assert not cache._core.state.flights
    got: list[Any] = []
    assert ended(in_thread(lambda: got.append(cache.get_or_load("k", lambda: 2))))
    assert got == [2]


def test_an_interrupt_before_a_batch_runs_leaves_no_flight_behind() -> None:
    from cenote import many

    for function, text in (
        (many._load_batch, "limit ="),
        (many._split, "batch.led[key] ="),
        (many._run_batch, "token"),
    ):
        cache = CacheManager().service("s")
        with before_line(function, text, interrupt), pytest.raises(KeyboardInterrupt):
            cache.get_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))
        assert not cache._core.state.flights, text


def test_an_asynchronous_leader_learns_that_a_joiner_ended_its_load_before_it_began() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", load_timeout=5)

    def time_out() -> None:
        clock.advance(6)

        def join() -> None:
            with pytest.raises(LoadTimeoutError):
                cache.get_or_load("k", lambda: 1)

        assert ended(in_thread(join))

    async def main() -> None:
        with before_line(aloading.start_task, "eager", time_out), pytest.raises(LoadTimeoutError):
            async with asyncio.timeout(SOON):
                await cache.aget_or_load("k", lambda: 2)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("function", "text"),
    [(CacheCore.settle, ".wake()"), (CacheCore.fail, ".wake()"), (CacheCore.settle, "self.discard(dropped)")],
)
def test_an_interrupt_after_the_load_loses_no_wake(function: Any, text: str) -> None:
    cache = CacheManager().service("s")
    joined = threading.Event()
    got: list[Any] = []

    def join() -> None:
        with before_line(loading.wait_for, "limit =", joined.set):
            try:
                got.append(cache.get_or_load("k", lambda: 2))
            except ValueError as error:
                got.append(error)

    threads: list[threading.Thread] = []

    def load() -> int:
        threads.append(in_thread(join))
        assert joined.wait(SOON)
        if function is CacheCore.fail:
            raise ValueError
        return 1

    with before_line(function, text, interrupt), pytest.raises(KeyboardInterrupt):
        cache.get_or_load("k", load)
    assert ended(*threads)
    assert len(got) == 1


def test_a_circle_through_any_key_of_a_batch_is_seen() -> None:
    cache = CacheManager().service("s")
    batch = threading.Event()
    single = threading.Event()
    got: list[Any] = []

    def load_c() -> str:
        single.set()
        assert batch.wait(SOON)
        waits_for_c.wait(SOON)
        return "c from " + cache.get_or_load("a", lambda: "a alone")

    waits_for_c = threading.Event()

    def load_batch(keys: list[str]) -> dict[str, str]:
        batch.set()
        flight = cache._core.state.flights[0, "c"]
        with before_line(loading.wait_for, "limit =", waits_for_c.set):
            value = cache.get_or_load("c", lambda: "c alone")
        assert flight is not None
        return dict.fromkeys(keys, value)

    one = in_thread(lambda: got.append(cache.get_or_load("c", load_c)))
    assert single.wait(SOON)
    many = in_thread(lambda: got.append(cache.get_or_load_many(["a", "b"], load_batch)))
    assert ended(one, many)
    assert len(got) == 2
    assert not cache._core.state.flights


def test_a_batch_leaves_no_edges_in_the_flight_that_it_ran_inside_of() -> None:
    cache = CacheManager().service("s")
    left: list[Any] = []

    def outer() -> int:
        flight = cache._core.state.flights[0, "outer"]
        cache.get_or_load_many(["a", "b", "c"], lambda keys: dict.fromkeys(keys, 1))
        left.extend(flight.rests_on)
        return 1

    cache.get_or_load("outer", outer)
    assert not left


def test_a_loop_that_waits_for_several_flights_is_known_to_wait_for_each() -> None:
    cache = CacheManager().service("s")
    loop_ready = threading.Event()
    gate = Gate("y")
    x_began = threading.Event()
    blocked = threading.Event()

    def load_x() -> str:
        x_began.set()
        assert blocked.wait(SOON)
        return cache.get_or_load("z", lambda: "z alone")

    threads = [in_thread(lambda: cache.get_or_load("x", load_x)), in_thread(lambda: cache.get_or_load("y", gate))]
    assert x_began.wait(SOON)
    assert gate.began.wait(SOON)
    got: list[Any] = []

    async def load_z() -> str:
        loop_ready.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "z"

    async def main() -> None:
        z = asyncio.ensure_future(cache.aget_or_load("z", load_z))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert loop_ready.is_set()

        def released() -> None:
            blocked.set()
            gate.go.set()

        with before_line(loading.wait_for, "limit =", released):
            got.append(cache.get_or_load_many(["x", "y"], lambda keys: dict.fromkeys(keys, "batch")))
        await z

    threads.append(in_thread(lambda: asyncio.run(main())))
    assert ended(*threads)
    assert len(got) == 1


def test_a_handler_inside_a_change_is_refused_where_it_could_wait_for_the_change_itself() -> None:
    caches = CacheManager()
    first, second = caches.service("a"), caches.service("b")
    in_setter = threading.Event()
    caught: list[Any] = []
    threads: list[threading.Thread] = []

    def switch_off() -> None:
        with before_line(Cache.apply_switches, "self._", in_setter.set):
            caches.enabled = False

    def handler() -> None:
        # Another thread holds the manager's lock, and waits for the lock that this thread holds.
        threads.append(in_thread(switch_off))
        assert in_setter.wait(SOON)
        for change in (caches.clear_all, caches.close, lambda: caches.service("c"), caches.stats):
            try:
                change()
            except ReentrantError as error:
                caught.append(error)

    def change() -> None:
        with before_line(CacheCore.store_value, "state = self.state", handler):
            second.set("k", 1)

    assert ended(in_thread(change))
    assert ended(*threads)
    assert len(caught) == 4
    assert first.get("k") is None


def test_clear_all_waits_for_a_cache_while_it_holds_no_other() -> None:
    def make_threads() -> list[Callable[[], object]]:
        caches = CacheManager()
        first, second = caches.service("a"), caches.service("b")

        class Key:
            """A key whose comparison, which happens amid a change of one cache, changes another one."""

            def __hash__(self) -> int:
                return 1

            def __eq__(self, other: object) -> bool:
                first.set("k", 1)
                return True

        memoized = second.memoize()(lambda key: key)
        memoized(Key())
        return [lambda: memoized.refresh(Key()), caches.clear_all]

    explore(make_threads, modules=[clearing], mode="systematic")
    explore(make_threads, modules=[clearing, sys.modules["cenote.core"]], seeds=range(30))


def test_the_switch_that_was_set_last_is_the_one_in_force() -> None:
    def make_threads() -> Scenario:
        cache = CacheManager().service("s")
        cache.enabled = False

        def after() -> None:
            cache.set("k", 1)
            assert cache.enabled is (cache.get("k") == 1)

        return Scenario([lambda: setattr(cache, "enabled", True), lambda: setattr(cache, "enabled", False)], after)

    explore(make_threads, modules=[sys.modules["cenote.cache"], clearing], mode="systematic")


def test_nothing_is_stored_while_a_manager_closes_nor_afterwards() -> None:
    caches = CacheManager()
    cache = caches.service("s")
    memoized = _memoized(cache, "f", "f")

    def call() -> None:
        assert ended(in_thread(lambda: memoized("x")))

    with before_line(clearing._finish, "if soft", call):
        caches.close()
    assert not cache._core.state.flights
    assert len(cache._core.state.store) == 0


def test_a_close_that_was_refused_can_be_repeated() -> None:
    caches = CacheManager()
    cache = caches.service("s")
    caught: list[BaseException] = []

    def handler() -> None:
        with pytest.raises(ReentrantError) as refused:
            caches.close()
        caught.append(refused.value)

    with before_line(CacheCore.store_value, "state = self.state", handler):
        cache.set("k", 1)
    assert caught
    caches.close()
    assert len(cache._core.state.store) == 0


def _made(cache: Any, source: str) -> Any:
    def function(x: str) -> str:
        return f"{source} {x}"

    function.__qualname__ = "f"
    return cache.memoize()(function)


def test_cache_clear_holds_for_its_function_while_another_takes_its_name() -> None:
    cache = CacheManager().service("s")
    answers = ["old", "new"]

    def first(x: str) -> str:
        return answers.pop(0) + x

    first.__qualname__ = "f"
    memoized = cache.memoize()(first)
    assert memoized("x") == "oldx"
    with before_line(Cache._clear_scope, "return run_clear", lambda: _made(cache, "other")):
        memoized.cache_clear()
    assert memoized("x") == "newx"


def test_a_prefix_holds_for_a_function_while_another_takes_its_name() -> None:
    cache = CacheManager().service("s")
    answers = ["old", "new"]

    def first(x: str) -> str:
        return answers.pop(0) + x

    first.__qualname__ = "f"
    memoized = cache.memoize()(first)
    assert memoized("x") == "oldx"
    with before_line(clearing.clear_scope, "covered = tagged", lambda: _made(cache, "other")):
        assert cache.clear(prefix="f('x").entries_cleared == 1
    assert memoized("x") == "newx"


@pytest.mark.parametrize("prefix", [None, "dead('"])
def test_a_clear_lists_what_it_took_from_a_table_that_another_function_got_meanwhile(prefix: str | None) -> None:
    cache = CacheManager().service("s")
    dead = [_memoized(cache, "dead", "dead")]
    dead[0]("x")

    def replace() -> None:
        dead.clear()
        gc.collect()
        cache.memoize(name="alive")(lambda *args, **named: (args, named))

    function, text = (
        (clearing.clear_cache, "_finish(") if prefix is None else (clearing.clear_scope, "covered = tagged")
    )
    with before_line(function, text, replace):
        result = cache.clear(prefix=prefix)
    assert result.cleared_items in (("dead('x')",), ())
    assert result.entries_cleared == len(result.cleared_items)


def test_functions_made_at_the_same_time_get_different_names() -> None:
    cache = CacheManager().service("s")
    made: list[Any] = []
    threads: list[threading.Thread] = []

    def make_another() -> None:
        threads.append(in_thread(lambda: made.append(_memoized_local(cache))))
        threads[0].join(0.2)

    with before_line(Shape.__init__, "self._name", make_another):
        made.append(_memoized_local(cache))
    assert ended(*threads)
    assert len({function.key("x") for function in made}) == 2
    for function in made:
        function("x")
        assert cache.delete(function.key("x"))


def _memoized_local(cache: Any) -> Any:
    @cache.memoize()
    def function(x: str) -> str:
        return x

    return function


def test_a_key_without_a_repr_does_not_keep_background_loads_from_running() -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise RuntimeError("no name")

    workers = Workers()
    failed = threading.Event()

    def job() -> None:
        failed.set()
        repr(Nameless())

    workers.submit(job)
    assert failed.wait(SOON)
    ran = [threading.Event() for _ in range(3)]
    for event in ran:
        workers.submit(event.set)
    assert all(event.wait(SOON) for event in ran)


def test_a_background_load_that_fails_needs_no_name() -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise RuntimeError("no name")

    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", ttl=100, stale_while_revalidate=50)
    answers: list[Any] = [1, ValueError("down"), 3]
    over = threading.Event()

    @cache.memoize()
    def function(key: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            over.set()
            raise answer
        return answer

    key = Nameless()
    assert function(key) == 1
    clock.advance(120)
    assert function(key) == 1
    assert over.wait(SOON)


def test_a_sweep_that_fails_does_not_end_the_keeper() -> None:
    keeper = Keeper()
    swept = threading.Event()

    class Broken:
        expiring = 1
        times = 0

        def sweep(self, enough: object = None) -> int:
            self.times += 1
            if self.times == 1:
                raise RuntimeError("a key that cannot be hashed any more")
            swept.set()
            self.expiring = 0
            return 0

    broken = Broken()
    keeper.watch(broken)
    keeper.notice()
    assert swept.wait(SOON)


def test_a_forked_child_frees_what_it_cleared() -> None:
    caches = CacheManager()
    cache = caches.service("s")
    cache.set("k", 1)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for number in range(3):
                cache.set(f"k{number}", number)
            cache.clear()
            cache.set("k", 2)
            status = int("cenote-keeper" not in {thread.name for thread in threading.enumerate()})
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_fork_amid_another_threads_bookkeeping_leaves_the_child_usable() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with waits._lock, sys.modules["cenote.bypass"]._lock:
            held.set()
            assert done.wait(SOON)

    holder = in_thread(hold)
    assert held.wait(SOON)
    cache = CacheManager().service("s")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(5)
            with cenote.bypass():
                pass
            cache.get_or_load("outer", lambda: cache.get_or_load("inner", lambda: 1))
            status = 0
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    done.set()
    assert ended(holder)
    assert code == 0


@contextmanager
def unswept(cache: Any) -> Iterator[None]:
    """Keep the background sweep away, which may come at any time."""
    sweep = cache._core.sweep
    cache._core.sweep = lambda *_: 0
    try:
        yield
    finally:
        cache._core.sweep = sweep


def test_an_entry_that_had_ended_counts_as_expired_whoever_takes_it_out() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", ttl=10)
    for key in ("deleted", "replaced", "dropped"):
        cache.set(key, 1)
    with unswept(cache):
        clock.advance(11)
        assert not cache.delete("deleted")
        cache.set("replaced", 2)
        cache.set("dropped", 2, ttl=0)
    stats = cache.stats()
    assert (stats.expirations, stats.invalidations, stats.current_size) == (3, 0, 1)


def test_a_task_waits_no_longer_than_the_load_timeout_for_a_background_load_in_a_thread() -> None:
    cache = CacheManager().service("s", load_timeout=0.05)
    gate = Gate("late")
    with cache._core.lock:
        started = approach.Started(cache._core)
        flight = approach._register(
            cache._core, cache._direct, cache._core.state, "k", frozenset(), None, started, parent=None
        )
    loading.start_behind(cache._core, cache._direct, flight, gate, Terms())
    assert gate.began.wait(SOON)

    async def main() -> None:
        with pytest.raises(LoadTimeoutError):
            async with asyncio.timeout(SOON):
                await cache.aget_or_load("k", lambda: 2)
        assert await cache.aget_or_load("k", lambda: 3) == 3

    asyncio.run(main())
    gate.go.set()


def test_a_load_that_began_before_a_fill_does_not_overwrite_it() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s")
    gate = Gate("older")
    reader = in_thread(lambda: cache.get_or_load("k", gate))
    assert gate.began.wait(SOON)
    clock.advance(1)
    token = cache.fill("k")
    assert token.set("newer")
    gate.go.set()
    assert ended(reader)
    assert cache.get("k") == "newer"


def test_a_load_that_began_after_a_fill_overwrites_it() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s")
    token = cache.fill("k")
    clock.advance(1)
    gate = Gate("newer")
    reader = in_thread(lambda: cache.get_or_load("k", gate))
    assert gate.began.wait(SOON)
    assert token.set("older")
    gate.go.set()
    assert ended(reader)
    assert cache.get("k") == "newer"


class _Price(float):
    """A number of another type, written alike."""


class _One:
    def __repr__(self) -> str:
        return "1"


@pytest.mark.parametrize("argument", [_Price(1.0), _One(), 1 + 2j, True, None, (1, _Price(2.0)), "x", b"x", 1.5])
def test_an_identifier_is_read_back_as_the_argument_it_was_written_for(argument: Any) -> None:
    cache = CacheManager().service("s")
    answers = ["old", "new"]

    @cache.memoize(name="f")
    def function(x: Any) -> str:
        return answers.pop(0)

    assert function(argument) == "old"
    assert cache.delete(cache.keys()[0])
    assert function(argument) == "new"


def test_values_of_a_dead_function_are_freed_outside_of_the_write_lock() -> None:
    cache = CacheManager().service("s")
    inside: list[bool] = []

    class Value:
        def __del__(self) -> None:
            inside.append(cache._core.lock._is_owned())

    def make() -> Value:
        return Value()

    dead = cache.memoize(name="dead")(make)
    dead()
    del dead
    gc.collect()
    _memoized(cache, "alive", "alive")
    gc.collect()
    assert inside == [False]


@pytest.mark.parametrize("tags", [["t"], lambda _: ["t"]])
@pytest.mark.parametrize(
    ("covered", "empty"),
    [
        ({"tags": ["t"]}, lambda cache: cache.invalidate_tags("t")),
        ({"prefix": "k"}, lambda cache: cache.clear(prefix="k")),
        ({"keys": ["k"]}, lambda cache: cache.delete("k")),
        ({}, lambda cache: cache.clear()),
    ],
)
def test_no_schedule_of_a_load_and_an_invalidation_breaks_the_promise(
    tags: Any, covered: dict[str, Any], empty: Callable[[Any], object]
) -> None:
    def make_threads() -> Scenario:
        history = History()
        cache = CacheManager().service("c")
        load = history.loader(checkpoint)

        def read() -> None:
            history.observe(lambda: cache.get_or_load("k", load, tags=tags), cache="c", key="k", tags=["t"])

        def invalidate() -> None:
            with history.invalidation(cache="c", **covered):
                empty(cache)
            read()

        return Scenario([read, invalidate], lambda: assert_strict(history, sets=False))

    explore(make_threads, modules=[loading, sys.modules["cenote.core"]], mode="systematic")
