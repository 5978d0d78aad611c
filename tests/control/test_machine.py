"""Several processes behind the API: whichever answers, the figures are sums and a clear reaches all.

Two managers of one process share a directory as those of two processes do; tests/workers has real ones.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cenote import CacheManager, RefillTimeoutError

API = "/api/system/cache"


@pytest.fixture
def pair(serve, tmp_path):
    url = f"memory://{tmp_path}/shared"
    with CacheManager(url) as here, CacheManager(url) as there:
        for caches in (here, there):
            caches._log.settle = 0.0  # the file is new, and both know that nobody has an older one
        yield serve(here), serve(there)


def fill(live):
    books = live.caches.service("books", max_entries=50)
    books.set_many({"dune": 1965, "emma": 1815})
    for _ in range(3):
        books.get("dune")
    books.get("absent")
    live.caches.global_cache.set("shelf", 1)


def test_the_status_has_sums_the_level_and_the_processes(pair):
    fill(pair[1])
    for live in pair:
        status = live.client.get(f"{API}/status").json()
        assert (status["level"], status["backend"]) == ("machine", "memory")
        assert (status["globalCacheSize"], status["serviceCacheCount"], status["totalEntries"]) == (1, 1, 3)
        assert [each["pid"] for each in status["processes"]] == [os.getpid()] * 2
        assert sorted(each["entries"] for each in status["processes"]) == [0, 3]


def test_statistics_are_the_same_whoever_answers(pair):
    fill(pair[1])
    whole = [live.client.get(f"{API}/stats").json() for live in pair]
    one = [live.client.get(f"{API}/stats/books").json() for live in pair]
    for answer in whole:
        assert answer["totals"] == {"totalHits": 3, "totalMisses": 1, "totalEntries": 3}
    for answer in one:
        assert answer["found"] is True
        assert (answer["statistics"]["hits"], answer["statistics"]["currentSize"]) == (3, 2)


def test_a_paced_clear_is_paced_by_all_and_stopped_by_whoever_is_asked(pair):
    one, other = pair
    for live in pair:
        fill(live)
    pace = {"ratePerSecond": 0.001, "waitSeconds": 0, "onTimeout": "error"}
    assert one.client.post(f"{API}/clear", json={"serviceName": "books", "refill": pace}).status_code == 200
    books = other.caches.service("books")
    with pytest.raises(RefillTimeoutError):
        books.get_or_load("dune", lambda: 1965)
    other.caches.stats()
    (row,) = one.client.get(f"{API}/overview?names=books").json()["caches"]
    assert (row["refill"]["state"], row["refill"]["scope"], row["refill"]["timedOut"]) == ("running", "machine", 1)
    assert other.client.delete(f"{API}/refill?serviceName=books").json()["success"] is True
    assert books.get_or_load("dune", lambda: 1965) == 1965
    assert one.caches.service("books").get_or_load("emma", lambda: 1815) == 1815


def test_metrics_are_the_same_whoever_answers(pair):
    fill(pair[1])
    for live in pair:
        lines = live.client.get("/metrics").text.splitlines()
        assert 'cenote_cache_hits_total{cache="books"} 3.0' in lines
        assert 'cenote_cache_entries{cache="books"} 2.0' in lines
        assert "cenote_processes 2.0" in lines


def test_a_clear_through_one_process_empties_a_service_that_only_another_uses(pair):
    here, there = pair
    fill(there)
    body = here.client.post(f"{API}/clear", json={"serviceName": "books"}).json()
    assert (body["status"], body["level"], body["entriesCleared"]) == ("success", "machine", 2)
    assert body["members"] == [{"pid": os.getpid(), "acknowledged": True}]
    assert there.caches.find("books").get("dune") is None
    assert there.caches.global_cache.get("shelf") == 1


def test_a_clear_of_everything_takes_what_only_another_process_has(pair):
    here, there = pair
    fill(there)
    assert here.client.post("/api/system/performance/clear-cache").json()["entriesCleared"] == 3
    assert there.client.get(f"{API}/status").json()["totalEntries"] == 0


def test_an_entry_that_another_process_has_is_invalidated(pair):
    here, there = pair
    fill(there)
    params = {"key": "dune", "serviceName": "books"}
    answer = here.client.delete(f"{API}/invalidate", params=params)
    assert answer.json() == {"success": True, "key": "dune", "found": True}
    assert there.caches.find("books").get("dune") is None


def test_a_service_that_no_process_has_is_not_found(pair):
    fill(pair[1])
    answer = pair[0].client.post(f"{API}/clear", json={"serviceName": "boks"})
    assert answer.status_code == 404
    assert "Services: books" in answer.json()["message"]
    assert pair[0].client.get(f"{API}/stats/boks").json()["found"] is False


@pytest.mark.parametrize("path", [f"{API}/clear", "/api/system/performance/clear-cache"])
def test_when_the_shared_file_was_removed_the_answer_is_503_and_names_what_was_reached(pair, tmp_path, path):
    here, _ = pair
    fill(here)
    (file,) = (tmp_path / "shared").glob("*.cenote")
    body = None
    while body is None or body["status"] == "success":
        # Whoever watches may have made another file before the clear looked.
        file.unlink(missing_ok=True)
        answer = here.client.post(path, json={})
        body = answer.json()
    assert answer.status_code == 503
    assert (body["success"], body["level"], body["countExact"]) == (False, "process", False)
    assert body["members"] == [{"pid": os.getpid(), "acknowledged": True}]
    assert "removed or replaced" in body["message"] or "cannot be used" in body["message"]
    assert len(here.caches.global_cache) == 0


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", f"{API}/status", "stats"),
        ("GET", f"{API}/stats", "stats"),
        ("GET", f"{API}/stats/books", "stats_of"),
        ("GET", "/metrics", "stats"),
        ("GET", "/readyz", "services"),
        ("GET", f"{API}/entries?serviceName=books", "find"),
        ("GET", f"{API}/entries/dune?serviceName=books", "find"),
        ("PUT", f"{API}/entries/dune?serviceName=books", "service"),
        ("DELETE", f"{API}/entries/dune?serviceName=books", "find"),
        ("DELETE", f"{API}/invalidate?key=dune&serviceName=books", "find"),
        ("POST", f"{API}/clear", "clear"),
        ("POST", "/api/system/performance/clear-cache", "clear_all"),
    ],
)
def test_the_server_answers_others_while_a_request_waits_for_another_process(pair, monkeypatch, method, path, asked):
    live = pair[0]
    fill(live)
    waiting, over = threading.Event(), threading.Event()
    really = getattr(live.caches, asked)

    def wait(*arguments, **options):
        waiting.set()
        assert over.wait(20)
        return really(*arguments, **options)

    monkeypatch.setattr(live.caches, asked, wait)
    body = {"json": {"value": 1} if method == "PUT" else {}} if method in {"PUT", "POST"} else {}
    with ThreadPoolExecutor(1) as pool:
        try:
            answer = pool.submit(live.client.request, method, path, **body)
            assert waiting.wait(20)
            assert live.client.get("/healthz", timeout=5).status_code == 200
        finally:
            over.set()
        assert answer.result(20).status_code == 200
