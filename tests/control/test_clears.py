"""Clears as an operator sees them: previewed, under way, and recovered from."""

import pytest

from cenote import CacheManager

API = "/api/system/cache"


@pytest.fixture
def books(caches):
    cache = caches.service("books")
    cache.set_many({f"k{number}": number for number in range(10)}, tags=["t"])
    return cache


def preview(http, **body):
    return http.post(f"{API}/clear/preview", json=body)


def test_a_preview_says_what_would_go_and_clears_nothing(http, books):
    answer = preview(http, serviceName="books", maxItems=3).json()
    assert (answer["entries"], answer["entriesExact"], len(answer["items"])) == (10, True, 3)
    assert (answer["level"], answer["processes"], answer["members"]) == ("process", 1, [])
    assert answer["cost"]["horizonSeconds"] == 600
    assert answer["cost"]["entrySeconds"] == 0
    assert answer["prediction"] is None
    assert answer["cost"]["reloads"] is None
    assert answer["basis"] == "nothing was read in the last minute"
    assert answer["basis"] in answer["message"]
    assert answer["cost"]["callersWait"] == "all"
    soft = preview(http, serviceName="books", mode="soft").json()
    assert (soft["cost"]["callersWait"], soft["message"][:23]) == ("first", "would mark 10 entries s")
    assert answer["tookMs"] > 0
    assert preview(http, serviceName="books", tags=["t"]).json()["entries"] == 10
    assert preview(http, serviceName="books", prefix="k1").json()["entries"] == 1
    assert preview(http, all=True).json()["entries"] >= 10
    assert len(books) == 10


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"serviceName": "nobody"}, 404),
        ({"all": True, "serviceName": "books"}, 422),
        ({"serviceNme": "books"}, 422),
        ({"refill": {"ratePerSecond": 0}}, 422),
        ({"refill": {}}, 422),
    ],
)
def test_what_cannot_be_previewed_is_refused(http, books, body, status):
    assert preview(http, **body).status_code == status


def test_a_clear_can_be_followed_by_a_receipt_chosen_beforehand(http, books):
    chosen = "0123456789abcdef"
    answer = http.post(f"{API}/clear", json={"serviceName": "books", "clearId": chosen, "reason": "why"}).json()
    assert answer["clearId"] == chosen
    clear = http.get(f"{API}/clears/{chosen}").json()
    assert (clear["state"], clear["serviceName"], clear["entries"], clear["level"]) == ("done", "books", 10, "process")
    assert (clear["reason"], clear["all"], clear["scope"], clear["members"]) == ("why", False, None, [])
    assert clear["startedAt"] <= clear["endedAt"]
    assert http.get(f"{API}/clears?limit=1").json()["clears"] == [clear]
    again = http.post(f"{API}/clear", json={"serviceName": "books", "clearId": chosen})
    assert again.status_code == 422
    assert "already" in again.json()["detail"][0]["msg"]
    assert http.post(f"{API}/clear", json={"clearId": "XYZ"}).status_code == 422
    assert http.get(f"{API}/clears/unknown").status_code == 404


def test_a_dry_run_is_no_clear(http, books):
    before = http.get(f"{API}/clears").json()["clears"]
    http.post(f"{API}/clear", json={"serviceName": "books", "dryRun": True})
    assert http.get(f"{API}/clears").json()["clears"] == before


def test_the_recovery_behind_a_clear_is_watched(serve):
    with CacheManager() as caches:
        live = serve(caches)
        caches.service("books").set("k", 1)
        clear_id = live.client.post(f"{API}/clear", json={"serviceName": "books"}).json()["clearId"]
        answer = live.client.get(f"{API}/recovery?clearId={clear_id}").json()
        assert answer["clear"]["clearId"] == clear_id
        assert answer["predicted"] is None
        assert answer["actual"]["over"] is False
        everything = live.client.post("/api/system/performance/clear-cache").json()["clearId"]
        assert live.client.get(f"{API}/recovery?clearId={everything}").json()["clear"]["all"] is True
        soft = live.client.post(f"{API}/clear", json={"mode": "soft"}).json()["clearId"]
        answer = live.client.get(f"{API}/recovery?clearId={soft}").json()
        assert (answer["clear"]["mode"], answer["actual"]["staleServed"]) == ("soft", 0)
        part = live.client.post(f"{API}/clear", json={"prefix": "k"}).json()["clearId"]
        assert live.client.get(f"{API}/recovery?clearId={part}").status_code == 404
        assert live.client.get(f"{API}/recovery?clearId=unknown").status_code == 404
        assert live.client.get(f"{API}/recovery").status_code == 422


class TestRefill:
    def test_a_paced_clear_shows_its_refill_until_it_is_stopped(self, http, books):
        pace = {"ratePerSecond": 0.001, "waitSeconds": 0, "maxSeconds": 60, "onTimeout": "error"}
        cleared = http.post(f"{API}/clear", json={"serviceName": "books", "refill": pace})
        assert cleared.status_code == 200
        assert cleared.json()["entriesCleared"] == 10
        (row,) = http.get(f"{API}/overview?names=books").json()["caches"]
        refill = row["refill"]
        assert (refill["state"], refill["ratePerSecond"], refill["maxSeconds"]) == ("running", 0.001, 60)
        assert (refill["clearId"], refill["scope"]) == (cleared.json()["clearId"], "process")
        stopped = http.delete(f"{API}/refill?serviceName=books").json()
        assert (stopped["success"], stopped["refill"]["endedBy"]) == (True, "stopped")
        assert http.delete(f"{API}/refill?serviceName=books").json()["success"] is False
        assert http.delete(f"{API}/refill?serviceName=nobody").status_code == 404

    def test_every_cache_is_paced_behind_a_clear_of_all(self, http, books):
        http.post("/api/system/performance/clear-cache", json={"refill": {"ratePerSecond": 5}})
        rows = http.get(f"{API}/overview").json()["caches"]
        assert {row["refill"]["state"] for row in rows} == {"running"}

    def test_all_refills_are_stopped_at_once(self, http, books):
        assert http.delete(f"{API}/refill?all=true").json() == {"success": False, "refill": None}
        http.post("/api/system/performance/clear-cache", json={"refill": {"ratePerSecond": 5}})
        assert http.delete(f"{API}/refill?all=true&serviceName=books").status_code == 422
        assert http.delete(f"{API}/refill?all=true").json() == {"success": True, "refill": None}
        rows = http.get(f"{API}/overview").json()["caches"]
        assert {row["refill"]["endedBy"] for row in rows} == {"stopped"}

    @pytest.mark.parametrize("more", [{"mode": "soft"}, {"tags": ["t"]}, {"prefix": "k"}, {"dryRun": True}])
    def test_what_cannot_be_paced_is_refused_and_nothing_cleared(self, http, books, more):
        body = {"serviceName": "books", "refill": {"ratePerSecond": 5}, **more}
        assert http.post(f"{API}/clear", json=body).status_code == 422
        assert len(books) == 10
