"""Keys that are longer than the places of a machine's records are keys like others, up to a bound."""

from __future__ import annotations

import pytest
from tests.network.conftest import WITNESS

from cenote import CacheManager, StoreFullError

LONG = {"somewhat": "k" * 200, "in umlauts": "ü" * 300, "as long as may be": "k" * 4096}


@pytest.mark.parametrize("key", LONG.values(), ids=LONG)
def test_a_long_key_is_set_read_and_deleted_alone(site, key):
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
        process.do(f"key = {key!r}; beside = key[:-1] + 'x'")
    one.do("cache.set(beside, 'stays'); cache.set(key, 'set')")
    for process in (one, other):
        site.reads(process, "set", key)
    other.do("cache.set_many({key: 'set anew', 'other': 1})")
    site.reads(one, "set anew", key)
    one.do("cache.set(key, 'the same', tags=['t'])")
    site.reads(other, "the same", key)
    assert other.ask("len(cache)") == 3
    assert other.ask("cache.delete(key)") is True
    assert other.ask("cache.delete(key)") is False
    for process in (one, other):
        assert process.ask("cache.get(key)") is None
        site.reads(process, "stays", f"{key[:-1]}x")
    assert one.ask("cache.get_or_load(key, lambda: 'loaded', tags=['t'])") == "loaded"
    site.reads(other, "loaded", key)
    assert other.ask("cache.invalidate_tags('t')") == 1
    assert one.ask("cache.get(key)") is None


def test_nothing_old_is_served_of_a_long_key_that_is_invalidated(site):
    key = LONG["in umlauts"]
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
        process.do(f"key = {key!r}")
        process.do(WITNESS.replace('"k"', "key"))
    site.warm(one, other)
    for process in (one, other, one, other):
        process.do("with history.invalidation(cache='shop', keys=[key]): cache.delete(key)")
        site.warm(one, other)
        process.do("with history.invalidation(cache='shop', keys=[key]): cache.set(key, now()); cache.delete(key)")
        site.warm(one, other)
    assert len(site.judge(one, other).invalidations) == 8


def test_a_key_beyond_the_bound_is_refused_when_it_is_set_and_loads_unshared(server, tmp_path):
    with CacheManager(f"{server.url}?dir={tmp_path}/run") as caches:
        cache = caches.service("shop")
        with pytest.raises(StoreFullError, match="4097 characters") as caught:
            cache.set("k" * 4097, 1)
        assert len(str(caught.value)) < 300
        assert cache.get_or_load("k" * 4097, lambda: 2) == 2
        assert cache.delete("k" * 4097) is False
        assert caches.clear_all().level == "network"
        with server.client() as client:
            assert client.keys("*kkkk*") == []
