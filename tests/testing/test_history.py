"""The history checker: exact, compared with a slow and obviously right one."""

import asyncio
import copy
import itertools
import pickle
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.testing.history import History, Invalidation, Read, Stamped
from cenote.testing.verdict import Violation, assert_strict, check

MOMENTS = st.integers(0, 40)
CACHES = st.sampled_from(["a", "b", None])
KEYS = st.sampled_from(["", "x", "xy", "y", "xyz"])
TAGS = st.sampled_from(["t", "u", "x"])


def covers(invalidation: Invalidation, read: Read) -> bool:
    if invalidation.what == "everything":
        return True
    if invalidation.cache != read.cache:
        return False
    return {
        "cache": lambda: True,
        "key": lambda: read.key in invalidation.names,
        "tag": lambda: bool(set(read.tags) & set(invalidation.names)),
        "prefix": lambda: any(str(read.key).startswith(str(name)) for name in invalidation.names),
    }[invalidation.what]()


def slow_check(reads: list[Read], invalidations: list[Invalidation]) -> list[tuple[Read, float]]:
    """Return each read that breaks the promise, with how much too old its value is at worst."""
    found = []
    for read in reads:
        worst = 0.0
        for invalidation in invalidations:
            if (
                invalidation.counts
                and covers(invalidation, read)
                and invalidation.end < read.start
                and read.birth < invalidation.start
            ):
                worst = max(worst, invalidation.start - read.birth)
        if worst:
            found.append((read, worst))
    return found


def spans() -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(MOMENTS, MOMENTS).map(lambda pair: (min(pair), max(pair)))


@st.composite
def reads(draw: st.DrawFn) -> Read:
    start, end = draw(spans())
    tags = tuple(draw(st.sets(TAGS)))
    return Read(start, end, draw(MOMENTS), False, draw(CACHES), draw(KEYS), tags)


@st.composite
def invalidations(draw: st.DrawFn) -> Invalidation:
    start, end = draw(spans())
    what = draw(st.sampled_from(["everything", "cache", "key", "tag", "prefix"]))
    names: tuple[str, ...] = ()
    if what in {"key", "prefix"}:
        names = tuple(draw(st.sets(KEYS)))
    elif what == "tag":
        names = tuple(draw(st.sets(TAGS)))
    return Invalidation(start, end, draw(CACHES), what, names, "clear", draw(st.booleans()))


def history_of(reads: list[Read], invalidations: list[Invalidation]) -> History:
    history = History()
    history._reads += reads
    history._invalidations += invalidations
    return history


@settings(max_examples=300, deadline=None)
@given(st.lists(reads(), max_size=25), st.lists(invalidations(), max_size=15))
def test_it_finds_what_the_slow_checker_finds(reads: list[Read], invalidations: list[Invalidation]) -> None:
    fast = check(history_of(reads, invalidations))
    slow = slow_check(sorted(reads, key=lambda read: read.start), invalidations)
    assert [(violation.read, violation.by) for violation in fast] == slow
    for violation in fast:
        assert violation.invalidation.start - violation.birth == violation.by > 0
        assert covers(violation.invalidation, violation.read)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_planted_violation_is_found_and_nothing_else(data: st.DataObject) -> None:
    history = History()
    planted = []
    birth = history.now()
    for number in range(data.draw(st.integers(1, 30))):
        cache = data.draw(CACHES)
        with history.invalidation(cache=cache):
            pass
        bad = data.draw(st.booleans())
        value = history.stamp(number, birth if bad else None)
        history.observe(lambda value=value: value, cache=cache, key=number)
        if bad:
            planted.append(number)
    assert [violation.read.key for violation in check(history)] == planted


def test_a_value_born_before_the_clear_and_read_after_it_is_a_violation() -> None:
    history = History()
    old = history.stamp("old")
    with history.invalidation(cache="a"):
        pass
    assert history.observe(lambda: old, cache="a", key="k") is old
    (violation,) = check(history)
    assert violation.read.key == "k"
    assert (violation.birth, violation.invalidation.start, violation.by) == (1, 2, 1)
    with pytest.raises(AssertionError, match=r"1 of 1 reads:\n  read of 'k' in cache 'a' .* born at 1, 1 before clear"):
        assert_strict(history)


def test_a_read_that_began_before_the_clear_returned_may_serve_the_old_value() -> None:
    history = History()
    old = history.stamp("old")
    with history.invalidation(cache="a"):
        start = history.now()
    history.read(start, old, cache="a", key="k")
    assert_strict(history)


def test_a_value_whose_load_began_during_the_clear_may_be_served() -> None:
    history = History()
    with history.invalidation(cache="a"):
        young = history.stamp("young")
    history.observe(lambda: young, cache="a", key="k")
    assert_strict(history)


def after(invalidate: Callable[[History], object], *, cache: str | None = "a") -> list[Violation]:
    history = History()
    old = history.stamp("old")
    invalidate(history)
    history.observe(lambda: old, cache=cache, key="key:1", tags=["t"])
    return check(history)


def test_clearing_another_cache_or_key_or_tag_or_prefix_promises_nothing() -> None:
    for scope in ({}, {"keys": ["key:1"]}, {"tags": ["t"]}, {"prefix": "key:"}):

        def invalidate(history: History, scope: dict[str, object] = scope) -> None:
            with history.invalidation(cache="a", **scope):
                pass

        assert after(invalidate)
        assert not after(invalidate, cache="b")
        assert not after(invalidate, cache=None)
    for scope in ({"keys": ["key:2"]}, {"tags": ["u"]}, {"prefix": "key:2"}, {"keys": []}):

        def elsewhere(history: History, scope: dict[str, object] = scope) -> None:
            with history.invalidation(cache="a", **scope):
                pass

        assert not after(elsewhere)


def test_clearing_everything_covers_all_caches() -> None:
    def invalidate(history: History) -> None:
        with history.invalidation(everything=True, action="clear_all"):
            pass

    for cache in ("a", "b", None):
        (violation,) = after(invalidate, cache=cache)
        assert "clear_all of all caches" in str(violation)


def test_soft_and_failed_invalidations_promise_nothing() -> None:
    def soft(history: History) -> None:
        with history.invalidation(cache="a", mode="soft"):
            pass

    def said_no(history: History) -> None:
        with history.invalidation(cache="a") as clear:
            clear.success = False

    def raised(history: History) -> None:
        with pytest.raises(OSError, match="gone"), history.invalidation(cache="a"):
            raise OSError("gone")

    assert not after(soft)
    assert not after(said_no)
    assert not after(raised)


def test_two_scopes_at_once_are_refused() -> None:
    history = History()
    with pytest.raises(ValueError, match="one scope"), history.invalidation(keys=["a"], prefix="b"):
        pass


def test_a_set_is_born_when_it_returns_even_for_a_reader_that_saw_it_earlier() -> None:
    history = History()

    def write(value: Stamped) -> None:
        with history.invalidation(cache="a"):
            pass
        history.observe(lambda: copy.deepcopy(pickle.loads(pickle.dumps(value))), cache="a", key="k")

    history.set(write, "v", cache="a", key="k")
    assert_strict(history)


def test_a_set_that_never_returned_is_not_judged() -> None:
    history = History()
    seen: list[Stamped] = []

    def write(value: Stamped) -> None:
        seen.append(value)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        history.set(write, "v", cache="a", key="k")
    with history.invalidation(cache="a"):
        pass
    history.observe(lambda: seen[0], cache="a", key="k")
    assert_strict(history)


def test_a_load_that_overwrites_a_later_set_is_a_violation_unless_sets_are_excused() -> None:
    history = History()
    old = history.stamp("old")
    history.set(lambda value: value, "new", cache="a", key="k")
    history.observe(lambda: old, cache="a", key="k")
    history.observe(lambda: old, cache="a", key="other")
    assert [violation.invalidation.action for violation in check(history)] == ["set"]
    assert_strict(history, sets=False)


def test_a_set_read_after_a_later_clear_is_a_violation() -> None:
    history = History()
    value = history.set(lambda value: value, "v", cache="a", key="k")
    with history.invalidation(cache="a"):
        pass
    history.observe(lambda: value, cache="a", key="k")
    assert len(check(history)) == 1


def test_loaders_stamp_the_moment_they_are_called() -> None:
    history = History()
    moments: list[float] = []

    @history.loader
    def load(word: str) -> str:
        moments.append(history.now())
        return word

    @history.aloader
    async def aload(word: str) -> str:
        moments.append(history.now())
        return word

    loaded, aloaded = load("x"), asyncio.run(aload("y"))
    assert (loaded.value, aloaded.value) == ("x", "y")
    assert [loaded.birth, aloaded.birth] == [moments[0] - 1, moments[1] - 1]
    assert load.__name__ == "load"


def test_a_miss_is_not_recorded_and_a_value_without_birth_is_refused() -> None:
    history = History()
    assert history.observe(lambda: None, cache="a", key="k") is None
    assert history.reads == []
    with pytest.raises(TypeError, match="served int, not Stamped"):
        history.observe(lambda: 7, cache="a", key="k")


def test_tickets_are_unique_over_threads_and_nothing_recorded_is_lost() -> None:
    history = History()

    def work() -> None:
        for _ in range(1000):
            history.observe(history.loader(lambda: 1), cache="a", key="k")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorded = history.reads
    tickets = list(itertools.chain.from_iterable((read.start, read.birth, read.end) for read in recorded))
    assert len(recorded) == 4000
    assert sorted(tickets) == list(range(1, 12_001))
    assert all(read.start < read.birth < read.end for read in recorded)


def test_histories_that_share_a_source_of_tickets_can_be_joined() -> None:
    first = History()
    second = History(ticket=first.now)
    old = first.stamp("old")
    with second.invalidation(cache="a"):
        pass
    first.observe(lambda: old, cache="a", key="k")
    assert not check(first)
    first.extend(second)
    assert len(check(first)) == 1


def test_a_long_report_shows_the_first_few() -> None:
    history = History()
    old = history.stamp("old")
    with history.invalidation(cache="a"):
        pass
    for number in range(9):
        history.observe(lambda: old, cache="a", key=number)
    with pytest.raises(AssertionError) as caught:
        assert_strict(history, show=2)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[-1] == "  ... and 7 more"
