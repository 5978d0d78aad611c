"""Previews and dry runs where other processes hold entries of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cenote import previewing

FILL = """
for number in range({count}):
    cache.get_or_load(f"{name}-{{number}}", lambda: 1, tags=["{name}"])
"""

PREVIEW = "(lambda found: (found.entries, found.exact))(caches.preview('shop', {scope}))"
DRY_RUN = "(lambda found: (found.entries_cleared, found.count_exact))(cache.clear(dry_run=True, {scope}))"


@pytest.fixture
def two(start):
    """Two processes that hold the same eight entries each, four of them of one tag and prefix."""
    processes = [start(), start()]
    for process in processes:
        process.do(FILL.format(name="a", count=4) + FILL.format(name="b", count=4))
    return processes


@pytest.mark.parametrize("scope", ["tags=['a']", "prefix='a-'"])
def test_a_preview_of_a_part_counts_what_others_hold_as_the_clear_does(two, scope):
    assert two[0].ask(PREVIEW.format(scope=scope)) == (8, False)
    assert "about 8 entries" in two[0].ask(f"caches.preview('shop', {scope}).message")
    assert two[0].ask(f"cache.clear({scope}).entries_cleared") == 8
    two[1].kill()
    two[0].do(FILL.format(name="a", count=3))
    assert two[0].ask(PREVIEW.format(scope=scope)) == (3, True)


@pytest.mark.parametrize("scope", ["tags=['a']", "prefix='a-'"])
def test_a_dry_run_of_a_part_says_that_it_counts_one_process_only(two, scope):
    assert two[0].ask(DRY_RUN.format(scope=scope)) == (4, False)
    assert "the least" in two[0].ask(f"cache.clear({scope}, dry_run=True).message")
    assert two[0].ask(DRY_RUN.format(scope="")) == (16, True)
    two[1].kill()
    assert two[0].ask(DRY_RUN.format(scope=scope)) == (4, True)
    assert "the least" not in two[0].ask(f"cache.clear({scope}, dry_run=True).message")


def test_who_holds_nothing_says_how_many_entries_it_cannot_judge(two, start):
    third = start()
    found = third.ask("caches.preview('shop', prefix='a-')")
    assert (found.entries, found.exact, found.entry_seconds, found.forecast) == (0, False, None, None)
    assert "0 to 16 entries" in found.message
    assert third.ask(PREVIEW.format(scope="")) == (16, True)
    assert third.ask(DRY_RUN.format(scope="prefix='a-'")) == (0, False)
    assert third.ask("cache.clear(prefix='a-').entries_cleared") == 8


def test_a_large_cache_in_another_process_is_told_from_the_share_here(start):
    one, other = start(), start()
    for process, count in ((one, 10), (other, 12_000)):
        process.do(f"cache = caches.service('large', max_entries=50_000)\nfill = {count}")
        process.do("for n in range(fill): cache.get_or_load(f'{n % 2}-{n}', lambda: 1)")
    found = "(lambda found: (found.entries, found.exact))(caches.preview('large', prefix='0-'))"
    assert one.ask(found) == (6005, False)
    entries, exact = other.ask(found)
    assert entries == pytest.approx(6005, rel=0.25)
    assert not exact
    assert other.ask("caches.preview('large').entries") == 12_010


def test_bytes_are_those_of_every_process(start):
    weighed = "cache = caches.service('weighed', max_bytes=10_000, weigher=lambda value: 100)\n"
    two = [start(), start()]
    for process in two:
        process.do(weighed + FILL.format(name="a", count=4) + FILL.format(name="b", count=4))
    assert two[0].ask("caches.preview('weighed').size") == 1600
    assert two[0].ask("caches.preview('weighed', prefix='a-').size") == 800


@pytest.fixture
def on_disk(directory, open_manager):
    """A cache whose entries are in a file that processes share."""
    caches = open_manager(f"lmdb://{directory}")
    cache = caches.service("shop")
    cache.set_many({f"a-{number:03}": 1 for number in range(40)}, tags=["a"])
    cache.set_many({f"b-{number:03}": 1 for number in range(10)}, tags=["b"])
    return caches, cache


def test_who_has_read_nothing_counts_what_is_in_the_file(on_disk, directory, start):
    other = start(url=f"lmdb://{directory}")
    for scope, entries in (("", 50), ("tags=['a']", 40), ("prefix='b-'", 10), ("tags=['b'], prefix='a-00'", 20)):
        assert other.ask(PREVIEW.format(scope=scope)) == (entries, True)
        assert other.ask(DRY_RUN.format(scope=scope)) == (entries, True)
    assert set(other.ask("caches.preview('shop', tags=['b']).items")) == {f"b-{number:03}" for number in range(10)}


def test_a_preview_lists_no_more_of_a_file_than_a_limit(on_disk, monkeypatch):
    caches, _ = on_disk
    monkeypatch.setattr(previewing, "_COUNTED_ONE_BY_ONE", 20)
    for scope in ({"tags": ["a"]}, {"prefix": "a-"}):
        found = caches.preview("shop", **scope)
        assert 20 <= found.entries <= 50
        assert not found.exact
    assert caches.preview("shop", tags=["b"]).exact
    assert caches.preview("shop").entries == 50


@pytest.mark.parametrize("scope", [{"tags": ["a"]}, {"prefix": "a-"}])
def test_a_dry_run_of_what_is_in_a_file_waits_for_no_lock(on_disk, scope):
    _, cache = on_disk
    with ThreadPoolExecutor(1) as pool, cache._core.lock:
        assert pool.submit(cache.clear, dry_run=True, **scope).result(20).entries_cleared == 40
