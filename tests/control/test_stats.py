"""Status and statistics, field by field; probes and metrics."""

import os

import pytest

from cenote import CacheManager

API = "/api/system/cache"
CONTRACT = ["hits", "misses", "hitRate", "missRate", "currentSize", "maxSize", "evictions"]
OURS = [
    "expirations",
    "invalidations",
    "loads",
    "loadFailures",
    "coalesced",
    "staleServed",
    "bytes",
    "meanLoadMs",
    "savedSeconds",
    "efficiency",
]


@pytest.fixture
def fresh(serve):
    with CacheManager() as caches:
        yield serve(caches)


def use(cache, hits, misses):
    cache.set("k", 1)
    for _ in range(hits):
        cache.get("k")
    for _ in range(misses):
        cache.get("absent")


def test_status_counts_entries_exactly(fresh):
    fresh.caches.global_cache.set("g", 1)
    fresh.caches.service("a").set_many({"x": 1, "y": 2})
    fresh.caches.service("b")
    status = fresh.client.get(f"{API}/status").json()
    (process,) = status.pop("processes")
    assert (process["pid"], process["entries"]) == (os.getpid(), 3)
    assert process["since"].endswith("Z")
    assert status == {
        "enabled": True,
        "backend": "memory",
        "globalCacheSize": 1,
        "serviceCacheCount": 2,
        "totalEntries": 3,
        "level": "process",
    }


def test_status_tells_when_caching_is_switched_off(fresh):
    fresh.caches.enabled = False
    assert fresh.client.get(f"{API}/status").json()["enabled"] is False


def test_the_statistics_of_a_service_are_complete_and_exact(fresh):
    use(fresh.caches.service("etherforce", max_entries=1000), hits=19, misses=1)
    body = fresh.client.get(f"{API}/stats/etherforce").json()
    assert (body["serviceName"], body["found"]) == ("etherforce", True)
    figures = body["statistics"]
    assert list(figures) == CONTRACT + OURS
    assert {name: figures[name] for name in CONTRACT} == {
        "hits": 19,
        "misses": 1,
        "hitRate": 95.0,
        "missRate": 5.0,
        "currentSize": 1,
        "maxSize": 1000,
        "evictions": 0,
    }


def test_rates_have_two_decimals_and_are_zero_when_nothing_was_asked(fresh):
    use(fresh.caches.service("third"), hits=1, misses=2)
    fresh.caches.service("idle")
    third = fresh.client.get(f"{API}/stats/third").json()["statistics"]
    idle = fresh.client.get(f"{API}/stats/idle").json()["statistics"]
    assert (third["hitRate"], third["missRate"]) == (33.33, 66.67)
    assert (idle["hitRate"], idle["missRate"]) == (0, 0)


@pytest.mark.parametrize("name", ["nobody", "a%20b", "a%2Fb", "..%2F..", "%0A"])
def test_an_unknown_service_is_found_false_with_200_and_is_not_created(fresh, name):
    answer = fresh.client.get(f"{API}/stats/{name}")
    assert answer.status_code == 200
    assert (answer.json()["found"], answer.json()["statistics"]) == (False, {})
    assert fresh.caches.services() == []


def test_comprehensive_statistics_add_up(fresh):
    use(fresh.caches.global_cache, hits=1, misses=2)
    use(fresh.caches.service("a"), hits=3, misses=4)
    use(fresh.caches.service("b"), hits=5, misses=6)
    body = fresh.client.get(f"{API}/stats").json()
    assert body.keys() == {"globalCache", "serviceCaches", "totals"}
    assert body["globalCache"]["hits"] == 1
    assert {name: each["misses"] for name, each in body["serviceCaches"].items()} == {"a": 4, "b": 6}
    assert body["totals"] == {"totalHits": 9, "totalMisses": 12, "totalEntries": 3}


def test_unknown_parameters_are_refused_where_there_are_none(fresh):
    assert fresh.client.get(f"{API}/stats", params={"service": "a"}).status_code == 422


def test_probes_tell_life_and_readiness(fresh):
    assert fresh.client.get("/healthz").json() == {"status": "ok"}
    assert fresh.client.get("/readyz").json() == {"status": "ok"}
    fresh.caches.close()
    assert fresh.client.get("/healthz").status_code == 200
    closed = fresh.client.get("/readyz")
    assert (closed.status_code, closed.json()) == (503, {"status": "closed"})


def test_metrics_are_prometheus_text_with_one_label_per_cache(fresh):
    use(fresh.caches.global_cache, hits=2, misses=0)
    use(fresh.caches.service("etherforce"), hits=3, misses=1)
    answer = fresh.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'cenote_cache_hits_total{cache="etherforce"} 3.0' in lines
    assert 'cenote_cache_hits_total{cache="(global)"} 2.0' in lines
    assert 'cenote_cache_misses_total{cache="etherforce"} 1.0' in lines
    assert 'cenote_cache_entries{cache="etherforce"} 1.0' in lines
    assert "# TYPE cenote_cache_hits_total counter" in lines
    assert "cenote_enabled 1.0" in lines
