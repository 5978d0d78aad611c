"""One cache: storing, reading, removing and looking."""

from __future__ import annotations

import pytest

from cenote import ConfigurationError, InvalidKeyError


def test_a_key_that_was_never_stored_is_none(cache):
    assert cache.get("k") is None


def test_a_key_that_was_never_stored_is_the_default_that_the_caller_gives(cache):
    marker = object()
    assert cache.get("k", marker) is marker


def test_a_stored_value_is_the_very_object_that_was_stored(cache):
    value = [1, 2]
    cache.set("k", value)
    assert cache.get("k") is value


def test_none_is_a_value_like_any_other(cache):
    cache.set("k", None)
    assert cache.get("k", "default") is None
    assert "k" in cache
    assert cache.get_or_load("k", lambda: pytest.fail("None was not cached")) is None


def test_a_second_set_replaces_the_value(cache):
    cache.set("k", 1)
    cache.set("k", 2)
    assert (cache.get("k"), len(cache)) == (2, 1)


def test_a_set_replaces_ttl_and_tags_too(cache, clock):
    cache.set("k", 1, ttl=5, tags=["old"])
    cache.set("k", 2, tags=["new"])
    clock.advance(10)
    assert cache.get("k") == 2
    assert cache.explain("k").tags == ("new",)
    assert cache.invalidate_tags("old") == 0
    assert cache.invalidate_tags("new") == 1


def test_a_set_without_tags_drops_the_tags_that_were_there(cache):
    cache.set("k", 1, tags=["t"])
    cache.set("k", 2)
    assert cache.invalidate_tags("t") == 0
    assert cache.get("k") == 2


def test_delete_says_whether_there_was_an_entry(cache):
    cache.set("k", 1)
    assert cache.delete("k") is True
    assert cache.delete("k") is False
    assert cache.get("k") is None


def test_delete_of_an_entry_that_has_ended_finds_nothing(cache, clock):
    cache.set("k", 1, ttl=1)
    clock.advance(1)
    assert cache.delete("k") is False


def test_an_entry_that_ended_unseen_counts_as_expired_when_it_is_deleted(cache, clock):
    cache.set("k", 1, ttl=1)
    clock.advance(1)
    cache.delete("k")
    stats = cache.stats()
    assert (stats.expirations, stats.invalidations, stats.current_size) == (1, 0, 0)


def test_a_ttl_of_zero_stores_nothing_and_removes_what_was_there(cache):
    cache.set("k", 1)
    cache.set("k", 2, ttl=0)
    assert "k" not in cache
    assert len(cache) == 0


def test_an_entry_is_served_until_its_ttl_is_over_and_not_at_that_moment(cache, clock):
    cache.set("k", 1, ttl=10)
    clock.advance(9.999)
    assert cache.get("k") == 1
    clock.advance(0.001)
    assert cache.get("k") is None


def test_a_ttl_may_be_a_timedelta(cache, clock):
    from datetime import timedelta

    cache.set("k", 1, ttl=timedelta(minutes=1))
    clock.advance(59)
    assert cache.get("k") == 1
    clock.advance(1)
    assert cache.get("k") is None


def test_a_ttl_of_none_outlives_the_ttl_of_the_cache(make, clock):
    cache = make(ttl=5)
    cache.set("k", 1, ttl=None)
    clock.advance(1e6)
    assert cache.get("k") == 1


@pytest.mark.parametrize("ttl", [-1, float("nan"), float("inf"), "60", True, [1]])
def test_a_ttl_that_is_no_number_of_seconds_is_refused(cache, ttl):
    with pytest.raises(ConfigurationError, match="ttl"):
        cache.set("k", 1, ttl=ttl)
    assert "k" not in cache


@pytest.mark.parametrize("key", ["", 1, None, b"k", ("k",), "\ud800"])
@pytest.mark.parametrize(
    "use",
    [
        lambda cache, key: cache.get(key),
        lambda cache, key: cache.set(key, 1),
        lambda cache, key: cache.delete(key),
        lambda cache, key: cache.get_or_load(key, int),
        lambda cache, key: cache.fill(key),
        lambda cache, key: cache.explain(key),
        lambda cache, key: cache.set_many({key: 1}),
    ],
    ids=["get", "set", "delete", "get_or_load", "fill", "explain", "set_many"],
)
def test_a_key_that_is_no_non_empty_text_is_refused(cache, use, key):
    with pytest.raises(InvalidKeyError, match="key"):
        use(cache, key)
    assert len(cache) == 0


def test_a_get_with_an_unhashable_key_says_what_a_key_is(cache):
    with pytest.raises(InvalidKeyError, match="must be a string, not list"):
        cache.get(["k"])


@pytest.mark.parametrize("key", ["", 1, None, ["k"], "\ud800"])
def test_what_cannot_be_a_key_is_in_no_cache(cache, key):
    assert key not in cache


@pytest.mark.parametrize("tags", ["tag", 5, None])
def test_tags_that_are_not_several_texts_are_refused(cache, tags):
    with pytest.raises(ConfigurationError, match="tags"):
        cache.set("k", 1, tags=tags)


@pytest.mark.parametrize("tags", [[""], [1], [None], ["a", 2]])
def test_a_tag_that_is_no_non_empty_text_is_refused(cache, tags):
    with pytest.raises(ConfigurationError, match="tag"):
        cache.set("k", 1, tags=tags)


def test_len_counts_live_entries_only(cache, clock):
    cache.set("a", 1, ttl=1)
    cache.set("b", 1, ttl=2)
    cache.set("c", 1)
    assert len(cache) == 3
    clock.advance(1)
    assert len(cache) == 2
    clock.advance(1)
    assert len(cache) == 1


def test_looking_whether_a_key_is_there_counts_as_no_read(cache):
    cache.set("k", 1)
    assert "k" in cache
    assert "other" not in cache
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (0, 0)


def test_an_empty_cache_is_no_false_value_by_surprise(cache):
    assert len(cache) == 0
    assert cache is not None
    assert repr(cache) == "<Cache of cache for service: etherforce: 0 entries>"


def test_keys_come_in_order_and_only_live_ones(cache, clock):
    for key in ["b", "a", "c"]:
        cache.set(key, 1)
    cache.set("0", 1, ttl=1)
    clock.advance(1)
    assert cache.keys() == ["a", "b", "c"]


def test_keys_can_be_asked_for_by_prefix_by_tag_and_up_to_a_limit(cache):
    for number in range(4):
        cache.set(f"a:{number}", 1, tags=["even"] if number % 2 == 0 else ["odd"])
    cache.set("b", 1, tags=["odd"])
    assert cache.keys(prefix="a:") == ["a:0", "a:1", "a:2", "a:3"]
    assert cache.keys(tag="odd") == ["a:1", "a:3", "b"]
    assert cache.keys(prefix="a:", tag="odd", limit=1) == ["a:1"]
    assert cache.keys(prefix="zz") == []


def test_pages_of_entries_show_each_entry_once(cache):
    for number in range(10):
        cache.set(f"k{number}", number)
    seen, cursor = [], None
    while True:
        page = cache.entries(cursor=cursor, limit=3)
        seen += [info.key for info in page.items]
        if page.cursor is None:
            break
        cursor = page.cursor
    assert seen == [f"k{number}" for number in range(10)]


def test_an_entry_that_stays_is_on_one_page_whatever_comes_and_goes_between_the_pages(cache):
    for key in ["a", "c", "e", "g"]:
        cache.set(key, 1)
    first = cache.entries(limit=2)
    cache.delete("a")
    cache.set("b", 1)
    cache.set("d", 1)
    second = cache.entries(cursor=first.cursor, limit=10)
    assert [info.key for info in first.items] == ["a", "c"]
    assert [info.key for info in second.items] == ["d", "e", "g"]


@pytest.mark.parametrize("cursor", ["!", "a", "AAAAA", "_w", "ä", 5])
def test_a_cursor_that_no_page_returned_is_refused(cache, cursor):
    with pytest.raises(ConfigurationError, match="cursor"):
        cache.entries(cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "10", None])
def test_a_page_of_less_than_one_entry_is_refused(cache, limit):
    with pytest.raises(ConfigurationError, match="limit"):
        cache.entries(limit=limit)


def test_explain_says_what_is_known_of_a_fresh_entry(cache, clock):
    cache.get_or_load("k", lambda: clock.advance(2), ttl=10, tags=["b", "a"])
    clock.advance(1)
    cache.get("k")
    info = cache.explain("k")
    assert (info.key, info.found, info.state) == ("k", True, "fresh")
    assert (info.age, info.expires_in, info.hard_end_in) == (3, 9, 9)
    assert (info.tags, info.load_seconds, info.reads) == (("a", "b"), 2, 1)
    assert info.error is None
    assert not info.loading


def test_explain_says_why_an_entry_is_missing(cache, clock):
    assert cache.explain("k").state == "missing"
    assert "never stored" in cache.explain("k").reason
    cache.set("k", 1, ttl=1)
    clock.advance(1)
    info = cache.explain("k")
    assert (info.found, info.state, info.reason) == (False, "missing", "it has expired")


def test_explain_says_that_an_entry_never_ends(cache):
    cache.set("k", 1)
    info = cache.explain("k")
    assert info.expires_in is None
    assert info.hard_end_in is None


def test_explain_knows_of_a_load_under_way(cache, gate, spawn):
    load = spawn(cache.get_or_load, "k", gate.hold)
    gate.begun()
    info = cache.explain("k")
    assert (info.found, info.loading, info.reason) == (False, True, "it is being loaded")
    gate.open()
    load.result()
    assert not cache.explain("k").loading


def test_explain_says_that_a_soft_clear_made_an_entry_stale(cache):
    cache.set("k", 1)
    cache.clear(mode="soft")
    info = cache.explain("k")
    assert (info.state, info.reason) == ("stale", "a soft clear marked it stale")


def test_explain_counts_the_idle_ttl_into_the_end_of_an_entry(make, clock):
    cache = make(ttl=100, idle_ttl=10)
    cache.set("k", 1)
    clock.advance(4)
    assert cache.explain("k").hard_end_in == 6


def test_explain_does_not_prolong_an_idle_entry(make, clock):
    cache = make(idle_ttl=10)
    cache.set("k", 1)
    clock.advance(9)
    cache.explain("k")
    clock.advance(1)
    assert cache.get("k") is None


def test_a_fill_stores_what_was_computed_after_its_birth(cache):
    token = cache.fill("k")
    assert token.set("value", tags=["t"]) is True
    assert cache.get("k") == "value"
    assert cache.invalidate_tags("t") == 1


@pytest.mark.parametrize(
    "invalidate",
    [
        lambda cache: cache.clear(),
        lambda cache: cache.delete("k"),
        lambda cache: cache.set("k", "newer"),
        lambda cache: cache.clear(prefix="k"),
        lambda cache: cache.invalidate_tags("t"),
    ],
    ids=["clear", "delete", "set", "prefix", "tag"],
)
def test_a_fill_stores_nothing_when_its_key_was_invalidated_since(cache, invalidate):
    token = cache.fill("k")
    invalidate(cache)
    assert token.set("old", tags=["t"]) is False
    assert cache.get("k") in (None, "newer")


def test_a_fill_is_not_disturbed_by_what_does_not_cover_it(cache):
    token = cache.fill("k")
    cache.delete("other")
    cache.clear(prefix="other")
    cache.invalidate_tags("other")
    cache.set("other", 1)
    assert token.set("value", tags=["t"]) is True


def test_a_fill_is_good_for_one_value(cache):
    token = cache.fill("k")
    assert token.set(1) is True
    assert token.set(2) is False
    assert cache.get("k") == 1


def test_nobody_waits_for_a_fill(cache):
    token = cache.fill("k")
    assert cache.get_or_load("k", lambda: "loaded") == "loaded"
    assert token.set("older") in (True, False)


def test_a_fill_never_replaces_a_value_whose_load_began_later(cache, clock):
    token = cache.fill("k")
    clock.advance(1)
    cache.get_or_load("k", lambda: "newer")
    assert token.set("older") is False
    assert cache.get("k") == "newer"


def test_a_dropped_fill_leaves_nothing_behind(cache):
    import gc

    token = cache.fill("k")
    del token
    gc.collect()
    assert len(cache._core.state.fills) == 0


async def test_the_asynchronous_twins_do_what_their_twins_do(cache):
    await cache.aset("k", 1, tags=["t"])
    assert await cache.aget("k") == 1
    assert await cache.aget("other", 7) == 7
    assert await cache.adelete("k") is True
    await cache.aset("k", 1, tags=["t"])
    assert await cache.ainvalidate_tags("t") == 1
    await cache.aset("k", 1)
    assert (await cache.aclear()).entries_cleared == 1
    await cache.aset("k", 1)
    assert (await cache.aclear(prefix="k")).cleared_items == ("k",)
