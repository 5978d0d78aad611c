"""A span for each load, with the real SDK of OpenTelemetry."""

from __future__ import annotations

import asyncio
import threading

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from tests.waiting import wait_until

from cenote import CacheManager, LoadTimeoutError

from .conftest import PATIENCE

OUTCOME = "cenote.load.outcome"


def id_of(span):
    return span.get_span_context().span_id


async def until(condition):
    """Let the other tasks run until something has come about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # what is waited for knows of no event
            await asyncio.sleep(0)


def parent_of(span):
    return None if span.parent is None else span.parent.span_id


def test_a_load_is_a_child_of_its_caller_and_the_parent_of_what_its_loader_does(caches, telemetry):
    cache = caches.service("books")

    def loader():
        with telemetry.tracer.start_as_current_span("query"):
            return 1

    with telemetry.tracer.start_as_current_span("request") as request:
        assert cache.get_or_load("k", loader) == 1
        assert trace.get_current_span() is request
    load = telemetry.span()
    assert parent_of(load) == request.get_span_context().span_id
    assert parent_of(telemetry.span("query")) == id_of(load)
    assert dict(load.attributes) == {"cenote.cache.name": "books", OUTCOME: "loaded", "cenote.load.waiters": 0}
    assert (load.kind, load.status.status_code) == (trace.SpanKind.INTERNAL, StatusCode.UNSET)


async def test_an_asynchronous_load_is_too_though_it_runs_in_a_task_of_its_own(caches, telemetry):
    async def loader():
        await asyncio.sleep(0)
        with telemetry.tracer.start_as_current_span("query"):
            await asyncio.sleep(0)
        return 1

    with telemetry.tracer.start_as_current_span("request") as request:
        assert await caches.global_cache.aget_or_load("k", loader) == 1
        assert trace.get_current_span() is request
    load = telemetry.span()
    assert parent_of(load) == request.get_span_context().span_id
    assert parent_of(telemetry.span("query")) == id_of(load)
    assert load.attributes["cenote.cache.name"] == "(global)"


def test_a_load_in_a_worker_thread_is_a_child_of_its_caller_too(caches, telemetry):
    cache = caches.service("books", load_timeout=PATIENCE)
    with telemetry.tracer.start_as_current_span("request") as request:
        cache.get_or_load("k", trace.get_current_span)
    assert parent_of(telemetry.span()) == request.get_span_context().span_id
    assert id_of(telemetry.span()) == cache.get("k").get_span_context().span_id


def test_hits_and_lookups_make_no_span_and_ask_no_observer(caches, telemetry):
    cache = caches.service("books")

    @cache.memoize
    def double(number: int) -> int:
        return 2 * number

    double(1)
    cache.set("k", 1)
    made = len(telemetry.spans())
    asked = []
    load, caches.observer.load = caches.observer.load, lambda *a, **k: asked.append(a) or load(*a, **k)
    for _ in range(3):
        double(1)
        cache.get("k")
        cache.get("nothing")
        cache.get_or_load("k", int)
    assert (made, len(telemetry.spans()), asked) == (1, 1, [])
    double(2)
    assert len(asked) == 1


@pytest.mark.parametrize("change", ["clear", "clear_all", "delete", "tag", "prefix", "set"])
def test_a_load_that_something_made_old_meanwhile_is_discarded(caches, telemetry, change):
    cache = caches.service("books")
    changes = {
        "clear": cache.clear,
        "clear_all": caches.clear_all,
        "delete": lambda: cache.delete("k"),
        "tag": lambda: cache.invalidate_tags("t"),
        "prefix": lambda: cache.clear(prefix="k"),
        "set": lambda: cache.set("k", 2),
    }
    assert cache.get_or_load("k", lambda: (changes[change](), 1)[1], tags=["t"]) == 1
    assert telemetry.span().attributes[OUTCOME] == "discarded"
    assert cache.get("k") == (2 if change == "set" else None)


async def test_an_asynchronous_load_that_was_cleared_meanwhile_is_discarded(caches, telemetry):
    cache = caches.service("books")

    async def loader():
        await cache.aclear()
        return 1

    await cache.aget_or_load("k", loader)
    assert telemetry.span().attributes[OUTCOME] == "discarded"
    (point,) = telemetry.points("cenote.cache.load.duration", cenote__load__outcome="discarded")
    assert point.count == 1


def test_a_failed_load_is_an_error_with_what_was_raised(caches, telemetry):
    with pytest.raises(ZeroDivisionError):
        caches.global_cache.get_or_load("k", lambda: 1 / 0)
    load = telemetry.span()
    assert (load.attributes[OUTCOME], load.attributes["error.type"]) == ("failed", "ZeroDivisionError")
    assert load.status.status_code is StatusCode.ERROR
    assert [event.name for event in load.events] == ["exception"]


async def test_a_failed_asynchronous_load_that_a_stale_copy_stands_in_for_is_an_error(caches, clock, telemetry):
    cache = caches.service("books", ttl=10, fail_safe=100)
    cache.set("k", "old")
    clock.advance(11)

    async def loader():
        raise OSError("gone")

    assert await cache.aget_or_load("k", loader) == "old"
    assert telemetry.span().attributes[OUTCOME] == "failed"


@pytest.mark.parametrize("keys", [False, True])
def test_keys_are_exported_only_when_that_was_asked_for(clock, telemetry, keys):
    with CacheManager(clock=clock) as caches, telemetry.instrument(caches, keys=keys):
        cache = caches.service("users", load_timeout=0.02)
        stop = threading.Event()
        cache.get_or_load("ann@example", int)
        with pytest.raises(LoadTimeoutError):
            cache.get_or_load("bob@example", lambda: stop.wait(PATIENCE))
        stop.set()
        cache.clear(prefix="ann@example")
    written = [span.to_json() for span in telemetry.spans()]
    assert len(written) == 3
    assert [("ann@example" in text or "bob@example" in text) for text in written] == [keys, keys, False]
    # What it loaded is nobody's any more when the loader ends: the span ended with the time that it had.
    assert {span.attributes.get(OUTCOME) for span in telemetry.spans()} == {"loaded", "failed", None}


def test_who_waits_for_a_load_is_linked_to_it_and_told_for_how_long(caches, telemetry, spawn):
    cache = caches.service("books")
    begun, go_on = threading.Event(), threading.Event()

    def loader():
        begun.set()
        assert go_on.wait(PATIENCE)
        return 1

    def wait():
        with telemetry.tracer.start_as_current_span("waiting") as span:
            assert cache.get_or_load("k", loader) == 1
            return span.get_span_context().span_id

    leading = spawn(cache.get_or_load, "k", loader)
    assert begun.wait(PATIENCE)
    waiting = spawn(wait)
    wait_until(lambda: cache.own_stats().coalesced == 1)
    go_on.set()
    leading.result(PATIENCE)
    waiter = waiting.result(PATIENCE)
    load = telemetry.span()
    assert load.attributes["cenote.load.waiters"] == 1
    assert [link.context.span_id for link in load.links] == [waiter]
    (event,) = telemetry.span("waiting").events
    assert (event.name, event.attributes["cenote.cache.name"]) == ("cache wait", "books")
    assert int(event.attributes["cenote.load.span_id"], 16) == id_of(load)
    assert int(event.attributes["cenote.load.trace_id"], 16) == load.get_span_context().trace_id
    assert event.attributes["cenote.wait.duration"] > 0


async def test_tasks_that_wait_for_a_load_are_linked_to_it(caches, telemetry):
    cache = caches.service("books")

    async def loader():
        await until(lambda: cache.own_stats().coalesced == 2)
        return 1

    async def ask(name):
        with telemetry.tracer.start_as_current_span(name):
            return await cache.aget_or_load("k", loader)

    assert await asyncio.gather(ask("one"), ask("two"), ask("three")) == [1, 1, 1]
    load = telemetry.span()
    asked = {id_of(telemetry.span(name)): telemetry.span(name) for name in ("one", "two", "three")}
    waited = {link.context.span_id for link in load.links}
    assert waited | {parent_of(load)} == set(asked)
    assert [len(asked[span].events) for span in waited] == [1, 1]


def test_a_background_reload_is_a_root_with_a_link_to_what_set_it_off(caches, clock, telemetry):
    cache = caches.service("books", ttl=10, stale_while_revalidate=100)
    cache.set("k", "old")
    clock.advance(11)
    ended = threading.Event()
    reloads = []

    def loader():
        reloads.append(trace.get_current_span())
        return "new"

    caches.observer.load = _signalling(caches.observer.load, ended)
    with telemetry.tracer.start_as_current_span("request") as request:
        assert cache.get_or_load("k", loader) == "old"
    assert ended.wait(PATIENCE)
    reload = telemetry.span()
    assert reload.parent is None
    assert [link.context.span_id for link in reload.links] == [request.get_span_context().span_id]
    assert reload.get_span_context().trace_id != request.get_span_context().trace_id
    assert [id_of(span) for span in reloads] == [id_of(reload)]


def _signalling(load, ended):
    """Watch loads as before, and set an event once one has ended."""

    def watch(*arguments, **options):
        found = load(*arguments, **options)
        tell = found.ended

        def end(*how):
            tell(*how)
            ended.set()

        found.ended = end
        return found

    return watch


async def test_an_asynchronous_background_reload_is_a_root_with_a_link(caches, clock, telemetry):
    cache = caches.service("books", ttl=10, refresh_ahead=0.5)
    cache.set("k", "old")
    clock.advance(8)
    go_on = asyncio.Event()

    async def loader():
        # Some interpreters begin a task at once.
        await go_on.wait()
        return "new"

    with telemetry.tracer.start_as_current_span("request") as request:
        assert await cache.aget_or_load("k", loader) == "old"
    go_on.set()
    await until(lambda: telemetry.spans("cache load"))
    reload = telemetry.span()
    assert reload.parent is None
    assert [link.context.span_id for link in reload.links] == [request.get_span_context().span_id]
    assert await cache.aget("k") == "new"


@pytest.mark.parametrize("kind", ["threads", "tasks", "with a limit"])
async def test_a_load_of_many_keys_is_one_span(clock, telemetry, kind):
    with CacheManager(clock=clock) as caches, telemetry.instrument(caches, keys=True):
        cache = caches.service("books", load_timeout=PATIENCE if kind == "with a limit" else None)
        cache.set("there", 0)

        def loader(keys):
            with telemetry.tracer.start_as_current_span("query"):
                return dict.fromkeys(keys[:-1], 1)

        keys = ["there", "a", "b", "c", "left out"]
        found = await cache.aget_or_load_many(keys, loader) if kind == "tasks" else cache.get_or_load_many(keys, loader)
        assert found == {"there": 0, "a": 1, "b": 1, "c": 1}
    load = telemetry.span()
    assert (load.attributes["cenote.load.keys"], load.attributes[OUTCOME]) == (4, "loaded")
    assert "cenote.cache.key" not in load.attributes
    assert parent_of(telemetry.span("query")) == id_of(load)


def test_a_load_of_many_keys_of_which_one_was_invalidated_is_discarded(caches, telemetry):
    cache = caches.service("books")

    def loader(keys):
        cache.delete("b")
        return dict.fromkeys(keys, 1)

    assert cache.get_or_load_many(["a", "b"], loader) == {"a": 1, "b": 1}
    assert telemetry.span().attributes[OUTCOME] == "discarded"
    assert cache.get_many(["a", "b"]) == {"a": 1}


async def test_what_a_cache_that_is_off_loads_is_uncached(caches, telemetry):
    cache = caches.service("books")
    cache.enabled = False
    cache.get_or_load("k", int)
    await cache.aget_or_load("k", int)
    cache.get_or_load_many(["k"], lambda keys: dict.fromkeys(keys, 1))
    with pytest.raises(ZeroDivisionError):
        cache.get_or_load("k", lambda: 1 / 0)
    assert [span.attributes[OUTCOME] for span in telemetry.spans()] == ["uncached"] * 3 + ["failed"]


async def test_a_cancelled_load_is_interrupted(caches, telemetry):
    begun = asyncio.Event()

    async def loader():
        begun.set()
        await asyncio.sleep(PATIENCE)

    task = asyncio.create_task(caches.global_cache.aget_or_load("k", loader))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(telemetry.spans)
    load = telemetry.span()
    assert (load.attributes[OUTCOME], load.attributes["error.type"]) == ("interrupted", "CancelledError")
    assert load.status.status_code is StatusCode.UNSET


def test_an_observer_that_fails_hinders_nobody_who_waits(caches, telemetry, caplog):
    cache = caches.service("books")
    caches.observer.load = _failing(caches.observer.load)
    assert cache.get_or_load("k", lambda: 1) == 1
    assert cache.get("k") == 1
    assert "an observer of loads failed" in caplog.text


def _failing(load):
    def watch(*arguments, **options):
        found = load(*arguments, **options)
        found.ended = lambda *how: 1 / 0
        return found

    return watch


def test_nothing_is_told_any_more_once_it_is_turned_off(telemetry, clock):
    with CacheManager(clock=clock) as caches:
        on = telemetry.instrument(caches)
        caches.global_cache.get_or_load("a", int)
        on.close()
        on.close()
        caches.global_cache.get_or_load("b", int)
        assert len(telemetry.spans()) == 1
        assert telemetry.points("cenote.cache.loads") == []
        with telemetry.instrument(caches) as second:
            on.close()
            assert caches.observer is second._observer
        assert caches.observer is None
