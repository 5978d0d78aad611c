"""Clears: what they take and what they say."""

from __future__ import annotations

import re
from datetime import UTC

import pytest

from cenote import ConfigurationError


def fill(cache, count=5):
    for number in range(count):
        cache.set(f"k{number}", number, tags=[f"mod{number % 2}"])


def test_a_clear_removes_everything_and_says_exactly_how_much(cache):
    fill(cache)
    result = cache.clear()
    assert (result.status, result.entries_cleared, result.mode, result.dry_run) == ("success", 5, "hard", False)
    assert sorted(result.cleared_items) == ["k0", "k1", "k2", "k3", "k4"]
    assert result.items_truncated is False
    assert len(cache) == 0
    assert cache.get("k0") is None


def test_a_clear_of_an_empty_cache_succeeds(cache):
    result = cache.clear()
    assert (result.status, result.entries_cleared, result.cleared_items) == ("success", 0, ())


def test_a_clear_says_what_it_cleared_in_a_sentence(cache, caches):
    assert cache.clear().message == "Successfully cleared cache for service: etherforce"
    assert caches.global_cache.clear().message == "Successfully cleared global cache"
    assert caches.clear_all().message == "Successfully cleared all caches"


def test_a_result_carries_level_receipt_time_and_duration(cache):
    first, second = cache.clear(), cache.clear()
    assert first.level == "process"
    assert re.fullmatch(r"[0-9a-f]{16}", first.clear_id)
    assert first.clear_id != second.clear_id
    assert first.timestamp.tzinfo is UTC
    assert first.duration >= 0


def test_a_result_cannot_be_changed(cache):
    with pytest.raises(AttributeError):
        cache.clear().status = "error"


def test_a_clear_counts_no_entry_that_has_ended_unseen(cache, clock):
    cache.set("dead", 1, ttl=1)
    cache.set("live", 1)
    clock.advance(1)
    result = cache.clear()
    assert (result.entries_cleared, result.cleared_items) == (1, ("live",))
    stats = cache.stats()
    assert (stats.expirations, stats.invalidations) == (1, 1)


def test_a_clear_lists_as_many_identifiers_as_asked_for(cache):
    fill(cache)
    assert len(cache.clear(max_items=2, dry_run=True).cleared_items) == 2
    result = cache.clear(max_items=2)
    assert (len(result.cleared_items), result.items_truncated, result.entries_cleared) == (2, True, 5)


def test_a_clear_that_lists_nothing_says_that_it_was_more(cache):
    fill(cache)
    result = cache.clear(max_items=0)
    assert (result.cleared_items, result.items_truncated) == ((), True)


@pytest.mark.parametrize("most", [-1, 10_001, 1.5, "1", None, True])
def test_a_number_of_identifiers_that_cannot_be_listed_is_refused(cache, most):
    fill(cache)
    with pytest.raises(ConfigurationError, match="max_items"):
        cache.clear(max_items=most)
    assert len(cache) == 5


@pytest.mark.parametrize("mode", ["HARD", "", None, 1])
def test_an_unknown_mode_is_refused_and_nothing_is_cleared(cache, caches, mode):
    fill(cache)
    with pytest.raises(ConfigurationError, match="mode"):
        cache.clear(mode=mode)
    with pytest.raises(ConfigurationError, match="mode"):
        caches.clear_all(mode=mode)
    assert len(cache) == 5


@pytest.mark.parametrize("prefix", [1, b"k", ["k"]])
def test_a_prefix_that_is_no_text_is_refused(cache, prefix):
    fill(cache)
    with pytest.raises(ConfigurationError, match="prefix"):
        cache.clear(prefix=prefix)
    assert len(cache) == 5


@pytest.mark.parametrize("tags", ["mod0", 5, [1], [""]])
def test_tags_that_cannot_be_tags_are_refused(cache, tags):
    fill(cache)
    with pytest.raises(ConfigurationError, match="tag"):
        cache.clear(tags=tags)
    assert len(cache) == 5


@pytest.mark.parametrize("selection", [{}, {"prefix": "k"}, {"tags": ["mod0", "mod1"]}])
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_a_dry_run_counts_and_lists_and_removes_nothing(cache, mode, selection):
    fill(cache)
    result = cache.clear(dry_run=True, mode=mode, **selection)
    assert (result.entries_cleared, len(result.cleared_items), result.dry_run) == (5, 5, True)
    assert cache.keys() == ["k0", "k1", "k2", "k3", "k4"]
    assert cache.explain("k0").state == "fresh"
    assert cache.stats().invalidations == 0
    assert result.message.startswith("Would ")


def test_a_dry_run_counts_what_a_clear_then_removes(cache, clock):
    fill(cache)
    cache.set("dead", 1, ttl=1)
    clock.advance(2)
    assert cache.clear(dry_run=True).entries_cleared == cache.clear().entries_cleared == 5


def test_a_prefix_takes_what_begins_so_and_nothing_else(cache):
    for key in ["a", "a:1", "a:2", "ab", "b"]:
        cache.set(key, 1)
    result = cache.clear(prefix="a:")
    assert (result.entries_cleared, sorted(result.cleared_items)) == (2, ["a:1", "a:2"])
    assert cache.keys() == ["a", "ab", "b"]


def test_an_empty_prefix_takes_everything(cache):
    fill(cache)
    assert cache.clear(prefix="").entries_cleared == 5


def test_tags_take_what_carries_one_of_them(cache):
    cache.set("a", 1, tags=["x"])
    cache.set("b", 1, tags=["x", "y"])
    cache.set("c", 1, tags=["z"])
    cache.set("d", 1)
    assert cache.invalidate_tags("x", "y") == 2
    assert cache.keys() == ["c", "d"]


def test_tags_and_prefix_together_take_what_either_covers_once(cache):
    cache.set("a:1", 1, tags=["x"])
    cache.set("a:2", 1)
    cache.set("b:1", 1, tags=["x"])
    cache.set("b:2", 1)
    assert cache.clear(prefix="a:", tags=["x"]).entries_cleared == 3
    assert cache.keys() == ["b:2"]


def test_no_tags_take_nothing(cache):
    fill(cache)
    assert cache.invalidate_tags() == 0
    assert cache.clear(tags=[]).entries_cleared == 0
    assert len(cache) == 5


def test_a_selective_clear_reaches_memoized_calls(cache):
    @cache.memoize(tags=lambda chapter: [f"chapter:{chapter}"], name="analyse")
    def analyse(chapter):
        return chapter

    for chapter in ["ch-1", "ch-2"]:
        analyse(chapter)
    assert cache.clear(prefix="analyse('ch-1").cleared_items == ("analyse('ch-1')",)
    assert cache.invalidate_tags("chapter:ch-2") == 1
    assert len(cache) == 0


@pytest.mark.parametrize("selection", [{}, {"prefix": "k"}, {"tags": ["t"]}])
def test_a_soft_clear_leaves_entries_that_are_stale(cache, selection):
    cache.set("k", "old", tags=["t"])
    result = cache.clear(mode="soft", **selection)
    assert (result.entries_cleared, result.cleared_items, result.mode) == (1, ("k",), "soft")
    assert result.message.startswith("Successfully marked stale")
    assert cache.explain("k").state == "stale"
    assert cache.get("k") is None
    assert cache.get_or_load("k", lambda: "new") == "new"
    assert cache.get("k") == "new"


def test_a_selective_soft_clear_leaves_the_others_fresh(cache):
    cache.set("a", 1)
    cache.set("b", 1)
    cache.clear(mode="soft", prefix="a")
    assert (cache.get("a"), cache.get("b")) == (None, 1)


def test_after_a_soft_clear_one_caller_loads_and_the_others_get_the_stale_value(cache, gate, spawn):
    cache.set("k", "old")
    cache.clear(mode="soft")
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("new"))
    gate.begun()
    assert cache.get_or_load("k", lambda: pytest.fail("loaded twice")) == "old"
    assert cache.get("k") == "old"
    gate.open()
    assert load.result() == "new"
    assert cache.get("k") == "new"
    assert cache.stats().stale_served == 2


def test_a_softly_cleared_entry_is_not_served_past_its_hard_end(cache, clock, gate, spawn):
    cache.set("k", "old", ttl=10)
    cache.clear(mode="soft")
    clock.advance(10)
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("new"))
    gate.begun()
    assert cache.get("k") is None
    gate.open()
    assert load.result() == "new"


@pytest.mark.parametrize("selection", [{}, {"prefix": "k"}, {"tags": ["t"]}])
def test_a_load_from_before_a_soft_clear_is_not_fresh_after_it(cache, gate, spawn, selection):
    load = spawn(lambda: cache.get_or_load("k", lambda: gate.hold("old"), tags=["t"]))
    gate.begun()
    cache.clear(mode="soft", **selection)
    gate.open()
    assert load.result() == "old"
    assert cache.explain("k").state != "fresh"
    assert cache.get("k") is None


@pytest.mark.parametrize("selection", [{}, {"prefix": "k"}, {"tags": ["t"]}])
def test_a_fill_from_before_a_soft_clear_is_not_fresh_after_it(cache, selection):
    token = cache.fill("k")
    cache.clear(mode="soft", **selection)
    token.set("old", tags=["t"])
    assert cache.explain("k").state != "fresh"


@pytest.mark.parametrize("selection", [{}, {"prefix": "k"}, {"tags": ["t"]}])
def test_a_load_whose_tags_depend_on_its_value_is_not_fresh_after_a_soft_clear(cache, gate, spawn, selection):
    load = spawn(lambda: cache.get_or_load("k", lambda: gate.hold("old"), tags=lambda value: ["t"]))
    gate.begun()
    cache.clear(mode="soft", **selection)
    gate.open()
    assert load.result() == "old"
    assert cache.explain("k").state != "fresh"


def test_a_hard_clear_after_a_soft_one_takes_the_stale_entries_too(cache):
    fill(cache)
    cache.clear(mode="soft")
    assert cache.clear().entries_cleared == 5
    assert len(cache) == 0


def test_a_clear_takes_remembered_failures(make):
    cache = make(negative_ttl=60)

    def fail():
        raise LookupError("no such chapter")

    with pytest.raises(LookupError):
        cache.get_or_load("k", fail)
    assert cache.clear().entries_cleared == 1
    assert cache.get_or_load("k", lambda: 1) == 1


def test_an_argument_that_cannot_be_written_as_text_stands_in_no_clears_way(cache):
    class Mute:
        def __repr__(self):
            raise RuntimeError("no text")

    @cache.memoize(name="f")
    def f(value):
        return value

    f(Mute())
    f(10**5000)
    assert len(cache.keys()) == 2
    assert len(cache.entries().items) == 2
    assert cache.clear(dry_run=True).entries_cleared == 2
    assert cache.clear().entries_cleared == 2


def test_an_entry_that_cannot_be_written_as_text_can_be_deleted_by_its_identifier(cache):
    @cache.memoize(name="f")
    def f(value):
        return 0

    f(10**5000)
    f(10**5000 + 1)
    first, second = cache.keys()
    assert first != second
    assert cache.delete(first) is True
    assert cache.keys() == [second]
