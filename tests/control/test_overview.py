"""The operator's view: all caches at a glance, one in detail, what they did lately, and why a key is missing."""

import pytest

from cenote import CacheManager
from cenote.testing import FakeClock

API = "/api/system/cache"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def shop(serve, clock):
    """A server whose caches were used for a minute of a clock that the test owns."""
    with CacheManager(clock=clock) as caches:
        books = caches.service("books", ttl=3600, max_entries=100)
        caches.service("Film", max_bytes=1000, weigher=len)
        live = serve(caches)
        caches.sample()

        def load():
            clock.advance(0.03)
            return 1

        for minute in range(6):
            for number in range(10):
                books.get_or_load(f"{minute}-{number % 5}", load)
            clock.advance(10 - 0.149)
            caches.sample()
        caches.service("Film").get("absent")
        yield live


def overview(live, query=""):
    answer = live.client.get(f"{API}/overview{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer):
    return [each["serviceName"] for each in answer["caches"]]


def test_the_overview_has_a_row_for_every_cache_and_one_for_all(shop):
    answer = overview(shop)
    assert names(answer) == [None, "Film", "books"]
    books = answer["caches"][2]
    assert (books["hits"], books["misses"], books["hitRate"], books["currentSize"]) == (30, 30, 50.0, 30)
    assert books["recent"]["reads"] == 60
    assert books["recent"]["hitRate"] == 50.0
    assert books["recent"]["readsPerSecond"] == pytest.approx(1.0, abs=0.01)
    assert 20 < books["loadMs"]["p50"] <= 50
    assert books["sparkline"]["hitRate"] == [50.0] * 6
    assert books["sparkline"]["stepSeconds"] == 10.0
    assert answer["caches"][1]["maxBytes"] == 1000
    totals = answer["totals"]
    assert (totals["hits"], totals["misses"], totals["recent"]["reads"]) == (30, 31, 61)
    assert totals["sparkline"]["readsPerSecond"] == [1.0] * 6
    assert (answer["level"], answer["members"], len(answer["processes"])) == ("process", [], 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?search=OO", ["books"]),
        ("?search=GLOB", [None]),
        ("?names=books,", [None, "books"]),
        ("?names=nobody", []),
        ("?order=desc", ["books", "Film", None]),
        ("?sort=reads", ["books", "Film", None]),
        ("?sort=reads&order=asc", [None, "Film", "books"]),
        ("?sort=hitRate&limit=1", ["books"]),
        ("?sort=recentHitRate", ["books", "Film", None]),
        ("?sort=recentReads&offset=1&limit=1", ["Film"]),
        ("?sort=bytes", ["Film", None, "books"]),
    ],
)
def test_caches_are_searched_chosen_sorted_and_paged(shop, query, expected):
    answer = overview(shop, query)
    assert names(answer) == expected
    assert answer["totals"]["hits"] == 30


def test_sparklines_are_left_out_where_nobody_wants_them(shop):
    assert {each["sparkline"] for each in overview(shop, "?sparklines=false")["caches"]} == {None}


def test_the_detail_shows_options_functions_and_the_last_clear(shop):
    assert shop.client.get(f"{API}/detail?serviceName=books").json()["lastClear"] is None
    shop.caches.clear("books", reason="a test")

    @shop.caches.service("Film").memoize
    def review(title):
        return title

    answer = shop.client.get(f"{API}/detail?serviceName=books").json()
    assert answer["options"]["ttl"] == 3600
    assert answer["options"]["maxEntries"] == 100
    assert answer["options"]["negativeErrors"] == ["LookupError"]
    assert answer["lastClear"]["reason"] == "a test"
    film = shop.client.get(f"{API}/detail?serviceName=Film").json()
    assert film["options"]["weigher"] == "len"
    assert film["functions"] == ["review"]
    assert film["enabled"] is True
    assert shop.client.get(f"{API}/detail?serviceName=nobody").status_code == 404


def test_the_history_has_one_item_a_point_in_every_series(shop):
    answer = shop.client.get(f"{API}/history?serviceName=books").json()
    assert (answer["points"], answer["stepSeconds"], answer["loadTimesOf"]) == (6, 10.0, "process")
    assert {len(series) for series in answer["series"].values()} == {6}
    assert answer["series"]["loadsPerSecond"] == [0.5] * 6
    assert all(20 < each <= 50 for each in answer["series"]["loadP95Ms"])
    assert shop.client.get(f"{API}/history?serviceName=books&range=24h").json()["points"] == 0
    assert shop.client.get(f"{API}/history?all=true").json()["series"]["hitRate"] == [50.0] * 6
    assert shop.client.get(f"{API}/history?all=true&serviceName=books").status_code == 422
    assert shop.client.get(f"{API}/history?serviceName=nobody").status_code == 404


def explain(live, key, service="books"):
    answer = live.client.get(f"{API}/explain", params={"key": key, "serviceName": service})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_key_is_explained_with_the_clear_that_took_it(shop, clock):
    fresh = explain(shop, "5-0")
    assert (fresh["state"], fresh["lastMiss"]["why"], fresh["clearedBy"]) == ("fresh", "neverLoaded", None)
    assert fresh["loadSeconds"] == pytest.approx(0.03)
    assert fresh["bornAt"].endswith("Z")
    clear_id = shop.caches.clear("books").clear_id
    for _ in range(1000):
        gone = explain(shop, "5-0")
        if gone["lastMiss"]["why"] == "cleared":
            break
    assert gone["lastMiss"]["clearId"] == clear_id
    assert gone["clearedBy"]["clearId"] == clear_id


def test_a_key_that_a_tag_or_an_invalidation_took_names_the_event(shop, clock):
    books = shop.caches.service("books")
    books.set("tagged", 1, tags=["a"])
    books.set("prefixed", 1)
    books.set("single", 1)
    clock.advance(10)
    tagged = books.clear(tags=["a", "b"]).clear_id
    clock.advance(10)
    prefixed = books.clear(prefix="pre").clear_id
    clock.advance(10)
    shop.client.request("DELETE", f"{API}/invalidate", params={"key": "single", "serviceName": "books"})
    assert explain(shop, "tagged")["clearedBy"]["clearId"] == tagged
    assert explain(shop, "tagged")["clearedBy"]["tags"] == ["a", "b"]
    assert explain(shop, "prefixed")["clearedBy"]["clearId"] == prefixed
    assert explain(shop, "single")["clearedBy"]["action"] == "invalidate"
    assert {explain(shop, key)["lastMiss"]["why"] for key in ("tagged", "prefixed", "single")} == {"invalidated"}
    assert explain(shop, "5-0")["clearedBy"] is None
