"""POST /api/system/cache/clear and /api/system/performance/clear-cache, field by field."""

import os
import re
from datetime import UTC, datetime

import pytest

from cenote import CacheManager

CLEAR = "/api/system/cache/clear"
ALL = "/api/system/performance/clear-cache"
OPTIONAL = {
    "success",
    "entriesCleared",
    "level",
    "clearId",
    "itemsTruncated",
    "durationMs",
    "members",
    "cost",
    "countExact",
}
REQUIRED = {"status", "message", "clearedItems", "timestamp"}


@pytest.fixture
def etherforce(caches):
    cache = caches.service("etherforce")
    for number in range(3):
        cache.set(f"key-{number}", number, tags=[f"parity:{number % 2}"])
    return cache


def test_a_service_clear_answers_every_field_of_the_contract(http, etherforce):
    answer = http.post(CLEAR, json={"serviceName": "etherforce"})
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == REQUIRED | OPTIONAL
    assert body["status"] == "success"
    assert body["success"] is True
    assert body["message"] == "Successfully cleared cache for service: etherforce"
    assert sorted(body["clearedItems"]) == ["key-0", "key-1", "key-2"]
    assert body["entriesCleared"] == 3
    assert body["itemsTruncated"] is False
    assert body["level"] == "process"
    assert body["members"] == [{"pid": os.getpid(), "acknowledged": True}]
    assert body["clearId"]
    assert body["durationMs"] >= 0
    assert len(etherforce) == 0


def test_the_timestamp_is_iso_8601_in_utc_and_ends_in_z(http):
    text = http.post(CLEAR, json={}).json()["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)
    assert abs((datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize("body", [{}, {"serviceName": None}, {"service_name": None}])
def test_without_a_service_only_the_global_cache_is_cleared(http, caches, etherforce, body):
    caches.global_cache.set("g", 1)
    answer = http.post(CLEAR, json=body).json()
    assert answer["message"] == "Successfully cleared global cache"
    assert answer["clearedItems"] == ["g"]
    assert len(etherforce) == 3


def test_snake_case_is_accepted_in_requests(http, etherforce):
    body = {"service_name": "etherforce", "dry_run": True, "max_items": 1}
    answer = http.post(CLEAR, json=body).json()
    assert (answer["entriesCleared"], len(answer["clearedItems"]), len(etherforce)) == (3, 1, 3)


@pytest.mark.parametrize("names", [("service_name", "serviceName"), ("serviceName", "service_name")])
def test_both_spellings_of_one_field_are_refused(http, etherforce, names):
    answer = http.post(CLEAR, json={names[0]: "a", names[1]: "etherforce"})
    assert answer.status_code == 422
    assert len(etherforce) == 3


def test_an_unknown_service_is_a_404_that_names_the_services_and_creates_none(http, caches, etherforce):
    answer = http.post(CLEAR, json={"serviceName": "ethreforce"})
    body = answer.json()
    assert answer.status_code == 404
    assert body.keys() == REQUIRED | OPTIONAL
    assert body["status"] == "error"
    assert body["success"] is False
    assert body["entriesCleared"] == 0
    assert body["clearedItems"] == []
    assert body["timestamp"].endswith("Z")
    assert "etherforce" in body["message"]
    assert "ethreforce" not in caches.services()
    assert len(etherforce) == 3


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"servicename": "etherforce"}, ["body", "servicename"]),
        ({"serviceName": 1}, ["body", "serviceName"]),
        ({"serviceName": ["etherforce"]}, ["body", "serviceName"]),
        ({"mode": "medium"}, ["body", "mode"]),
        ({"dryRun": "yes"}, ["body", "dryRun"]),
        ({"maxItems": -1}, ["body", "maxItems"]),
        ({"maxItems": 10_001}, ["body", "maxItems"]),
        ({"tags": "a"}, ["body", "tags"]),
        ({"tags": []}, ["body", "tags"]),
        ({"prefix": ""}, ["body", "prefix"]),
        ([], ["body"]),
        ("etherforce", ["body"]),
        (None, ["body"]),
    ],
)
def test_a_wrong_body_is_a_422_that_names_the_field_and_clears_nothing(http, caches, body, location):
    caches.global_cache.set("g", 1)
    answer = http.post(CLEAR, json=body)
    assert answer.status_code == 422
    errors = answer.json()["detail"]
    assert errors[0].keys() == {"loc", "msg", "type", "input", "ctx"}
    assert errors[0]["loc"] == location
    assert len(caches.global_cache) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"nonsense", b"{'a': 1}", b'{"serviceName": "a"'])
def test_a_missing_or_broken_body_is_a_422(http, caches, content):
    caches.global_cache.set("g", 1)
    answer = http.post(CLEAR, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"
    assert len(caches.global_cache) == 1


@pytest.mark.parametrize("content", [b"\xff\xfe\xfd", b"[" * 200_000])
def test_a_body_that_is_no_text_or_too_deep_is_refused_without_a_500(http, content):
    answer = http.post(CLEAR, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}


def test_a_query_parameter_never_stands_in_for_the_body(http, caches, etherforce):
    caches.global_cache.set("g", 1)
    answer = http.post(CLEAR, params={"serviceName": "etherforce"}, json={})
    assert answer.status_code == 422
    assert (len(caches.global_cache), len(etherforce)) == (1, 3)


def test_a_dry_run_reports_and_removes_nothing(http, etherforce):
    answer = http.post(CLEAR, json={"serviceName": "etherforce", "dryRun": True}).json()
    assert answer["entriesCleared"] == 3
    assert "would" in answer["message"].lower()
    assert len(etherforce) == 3


def test_a_soft_clear_says_so_and_keeps_the_entries_for_reloading(http, caches):
    caches.service("gentle", ttl=60, stale_while_revalidate=60).set("k", 1)
    answer = http.post(CLEAR, json={"serviceName": "gentle", "mode": "soft"}).json()
    assert answer["status"] == "success"
    assert answer["entriesCleared"] == 1
    assert "soft" in answer["message"].lower() or "stale" in answer["message"].lower()


def test_tags_and_prefix_narrow_the_clear(http, etherforce):
    tagged = http.post(CLEAR, json={"serviceName": "etherforce", "tags": ["parity:1"]}).json()
    assert tagged["clearedItems"] == ["key-1"]
    prefixed = http.post(CLEAR, json={"serviceName": "etherforce", "prefix": "key-2"}).json()
    assert prefixed["clearedItems"] == ["key-2"]
    assert etherforce.keys() == ["key-0"]


@pytest.mark.parametrize(("max_items", "listed"), [(0, 0), (2, 2), (3, 3)])
def test_max_items_bounds_the_list_but_not_the_count(http, etherforce, max_items, listed):
    answer = http.post(CLEAR, json={"serviceName": "etherforce", "maxItems": max_items}).json()
    assert (len(answer["clearedItems"]), answer["entriesCleared"]) == (listed, 3)
    assert answer["itemsTruncated"] is (listed < 3)


def test_the_list_stops_at_100_unless_asked_otherwise(http, caches):
    caches.service("many").set_many({f"k{number}": number for number in range(150)})
    answer = http.post(CLEAR, json={"serviceName": "many"}).json()
    assert (len(answer["clearedItems"]), answer["entriesCleared"], answer["itemsTruncated"]) == (100, 150, True)


def test_the_cost_is_the_mean_load_time_of_the_entries_that_went(http, caches):
    cache = caches.service("loads")
    cache.get_or_load("a", lambda: sum(range(200_000)))
    cache.get_or_load("b", lambda: sum(range(200_000)))
    mean = cache.stats().mean_load_ms / 1000
    assert http.post(CLEAR, json={"serviceName": "loads"}).json()["cost"] == pytest.approx(2 * mean, rel=0.01)


def test_the_cost_is_null_when_nothing_was_ever_loaded(http, etherforce):
    assert http.post(CLEAR, json={"serviceName": "etherforce"}).json()["cost"] is None


def test_reason_and_caller_are_in_the_audit_trail(http, caches, etherforce):
    receipt = http.post(CLEAR, json={"serviceName": "etherforce", "reason": "new index"}).json()["clearId"]
    event = next(event for event in caches.audit.events() if event.clear_id == receipt)
    assert (event.action, event.service, event.entries, event.reason, event.actor) == (
        "clear",
        "etherforce",
        3,
        "new index",
        "127.0.0.1",
    )


@pytest.mark.parametrize("arguments", [{}, {"json": {}}, {"json": None}, {"json": {"serviceName": None}}])
def test_clear_cache_without_a_service_clears_everything(http, caches, etherforce, arguments):
    caches.global_cache.set("g", 1)
    answer = http.post(ALL, **arguments)
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == REQUIRED | OPTIONAL
    assert body["entriesCleared"] == 4
    assert (len(caches.global_cache), len(etherforce)) == (0, 0)


def test_clear_cache_with_a_service_clears_that_one(http, caches, etherforce):
    caches.global_cache.set("g", 1)
    body = http.post(ALL, json={"serviceName": "etherforce"}).json()
    assert body["message"] == "Successfully cleared cache for service: etherforce"
    assert (len(caches.global_cache), len(etherforce)) == (1, 0)
    assert http.post(ALL, json={"serviceName": "nobody"}).status_code == 404


@pytest.mark.parametrize("field", [{"tags": ["parity:1"]}, {"prefix": "key"}])
def test_clear_cache_refuses_to_clear_everything_when_it_was_asked_for_a_part(http, etherforce, field):
    answer = http.post(ALL, json=field)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", *field]
    assert len(etherforce) == 3


def test_an_unkept_promise_is_a_503_with_the_level_reached(serve):
    caches = CacheManager()
    live = serve(caches)
    caches.close()
    for path in (CLEAR, ALL):
        answer = live.client.post(path, json={})
        body = answer.json()
        assert answer.status_code == 503
        assert body.keys() == REQUIRED | OPTIONAL
        assert (body["status"], body["success"], body["level"]) == ("error", False, "none")
        assert (body["entriesCleared"], body["countExact"]) == (0, True)


def test_identifiers_of_memoized_calls_are_listed_and_can_be_handed_back(http, caches):
    cache = caches.service("memo")

    @cache.memoize()
    def analyse(chapter):
        return chapter.upper()

    analyse("ch-1")
    analyse("ch-2")
    listed = http.post(CLEAR, json={"serviceName": "memo", "dryRun": True}).json()["clearedItems"]
    assert sorted(listed) == ["analyse('ch-1')", "analyse('ch-2')"]
    params = {"key": listed[0], "serviceName": "memo"}
    assert http.delete("/api/system/cache/invalidate", params=params).json()["found"] is True
    assert len(cache) == 1


@pytest.mark.parametrize("path", ["/api/system/cache/clear", "/api/system/performance/clear-cache"])
@pytest.mark.parametrize("second", ["null", '"vista"'])
def test_a_field_that_stands_twice_is_a_422_and_clears_neither_of_the_two(http, caches, etherforce, path, second):
    caches.global_cache.set("k", 1)
    content = f'{{"serviceName": "etherforce", "serviceName": {second}}}'
    answer = http.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "twice" in answer.text
    assert "k" in caches.global_cache
    assert len(etherforce) == 3
