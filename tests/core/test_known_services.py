"""Services that only another process has used: found, counted and cleared here all the same.

Two managers of one process share a directory as those of two processes do.
"""

from __future__ import annotations

import pytest

from cenote import CacheManager, CacheOptions, ClearFailedError, ConfigurationError, UnknownServiceError


@pytest.fixture
def pair(tmp_path):
    url = f"memory://{tmp_path}/shared"
    with CacheManager(url) as here, CacheManager(url) as there:
        for caches in (here, there):
            caches._log.settle = 0.0  # the file is new, and both know that nobody has an older one
        yield here, there


def test_a_service_of_another_process_is_listed_and_found(pair):
    here, there = pair
    there.service("books", ttl=60)
    assert here.services() == ["books"]
    assert here.find("books").name == "books"
    assert here.find("nobody") is None
    assert here.services() == ["books"]


def test_a_clear_reaches_a_service_that_only_another_process_has_used(pair):
    here, there = pair
    there.service("books").set("dune", 1965)
    result = here.clear("books")
    assert (result.level, result.entries_cleared) == ("machine", 1)
    assert there.find("books").get("dune") is None


def test_a_clear_of_everything_counts_what_only_another_process_has(pair):
    here, there = pair
    there.service("books").set("dune", 1965)
    there.global_cache.set("shelf", 1)
    assert here.clear_all().entries_cleared == 2


def test_a_service_that_no_process_has_is_still_unknown(pair):
    here, there = pair
    there.service("books")
    with pytest.raises(UnknownServiceError, match=r"No cache for service: boks\. Services: books"):
        here.clear("boks")
    assert here.stats_of("boks") is None


def test_the_statistics_are_the_same_whoever_is_asked(pair):
    here, there = pair
    books = there.service("books", max_entries=7)
    books.set("dune", 1965)
    for _ in range(3):
        books.get("dune")
    books.get("emma")
    stats = there.stats_of("books")
    assert (stats.hits, stats.misses, stats.current_size, stats.max_size) == (3, 1, 1, 7)
    assert here.stats_of("books") == here.stats().services["books"] == stats


def test_options_that_come_later_hold_for_a_cache_that_was_only_found(pair):
    here, there = pair
    there.service("books", ttl=60)
    found = here.find("books")
    found.set("dune", [1965])
    books = here.service("books", max_entries=2, copy="deep", eviction="lru")
    assert books is found
    assert (books.options.max_entries, books.options.copy) == (2, "deep")
    assert books.get("dune") is None, "it was stored under other options"
    books.set("emma", [1815])
    books.get("emma").append("changed")
    assert books.get("emma") == [1815]
    books.set_many({"a": 1, "b": 2})
    assert len(books) == 2
    with pytest.raises(ConfigurationError, match="exists with other options"):
        here.service("books", max_entries=3)


def test_a_found_cache_that_was_asked_for_without_options_keeps_the_default_ones(pair):
    here, there = pair
    there.service("books", ttl=60)
    here.find("books")
    assert here.service("books").options == CacheOptions()
    with pytest.raises(ConfigurationError, match="exists with other options"):
        here.service("books", ttl=60)


def test_a_found_cache_whose_options_a_function_relies_on_takes_no_others(pair):
    here, there = pair
    there.service("books", ttl=60)

    @here.find("books").memoize()
    def year(title):
        return len(title)

    assert year("dune") == 4
    with pytest.raises(ConfigurationError, match="exists with other options"):
        here.service("books", ttl=60)


def test_without_the_shared_file_nobody_says_that_a_service_is_unknown(pair, tmp_path):
    here, _there = pair
    here._log.rejoin = lambda forget: False
    here._log.membership.leave()
    here._log.membership = None
    with pytest.raises(ClearFailedError, match="nobody can tell") as failed:
        here.clear("books")
    assert failed.value.level == "none"
