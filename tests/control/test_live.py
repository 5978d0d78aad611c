"""The live stream: what caches do and how clears go on, for whoever stays connected or comes back."""

import json
import threading

import pytest

from cenote import CacheManager, Refill

API = "/api/system/cache"


class Stream:
    """Reads a live stream, event by event."""

    def __init__(self, live, query="", headers=None):
        self._context = live.client.stream("GET", f"{API}/live{query}", headers=headers)
        self.response = self._context.__enter__()
        self._lines = self.response.iter_lines()

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self._context.__exit__(*reason)

    def next(self, kind=None):
        """The next event, or the next of a kind: its id, name and data."""
        while True:
            event = {}
            for line in self._lines:
                if not line:
                    break
                name, _, value = line.partition(": ")
                event[name] = value
            assert event, "the stream has ended"
            if "data" in event and kind in {None, event["event"]}:
                return event["id"], event["event"], json.loads(event["data"])


@pytest.fixture
def shop(serve):
    with CacheManager() as caches:
        caches.service("books").set("dune", 1)
        caches.service("films")
        yield serve(caches)


def test_a_stream_begins_with_all_caches(shop):
    with Stream(shop) as stream:
        _, kind, data = stream.next()
    assert (kind, data["full"]) == ("overview", True)
    assert sorted(str(row["serviceName"]) for row in data["caches"]) == ["None", "books", "films"]
    assert data["totals"]["currentSize"] == 1
    assert "sparkline" not in data["caches"][0]


def test_later_only_what_changed_is_told(shop):
    with Stream(shop, "?interval=1") as stream:
        stream.next("overview")
        shop.caches.service("books").get("dune")
        _, _, data = stream.next("overview")
    assert data["full"] is False
    assert [(row["serviceName"], row["hits"]) for row in data["caches"]] == [("books", 1)]


def test_only_the_caches_asked_for_are_told_of(shop):
    with Stream(shop, "?names=films,") as stream:
        _, _, data = stream.next()
    assert sorted(str(row["serviceName"]) for row in data["caches"]) == ["None", "films"]


def test_clears_invalidations_and_switches_are_told_as_they_happen(shop):
    with Stream(shop) as stream:
        stream.next("overview")
        receipt = shop.client.post(f"{API}/clear", json={"serviceName": "books", "reason": "why"}).json()["clearId"]
        _, kind, begun = stream.next()
        assert (kind, begun["clearId"], begun["state"], begun["serviceName"]) == (
            "clear-begun",
            receipt,
            "running",
            "books",
        )
        _, kind, done = stream.next()
        assert (kind, done["clearId"], done["state"], done["entries"]) == ("clear-done", receipt, "done", 1)
        shop.client.delete(f"{API}/invalidate?key=dune&serviceName=books")
        assert stream.next("invalidated")[2]["key"] == "dune"
        shop.caches.service("films").enabled = False
        assert stream.next("switched")[2]["serviceName"] == "films"


def test_who_reconnects_misses_no_clear(shop):
    with Stream(shop) as stream:
        stream.next("overview")
        shop.caches.clear("books")
        last, _, _ = stream.next("clear-done")
    missed = [shop.caches.clear("books").clear_id for _ in range(3)]
    for query, headers in (("", {"last-event-id": last}), (f"?lastEventId={last}", None)):
        with Stream(shop, query, headers) as stream:
            assert stream.next()[1] == "overview"
            found = [stream.next("clear-done")[2]["clearId"] for _ in missed]
        assert found == missed


@pytest.mark.parametrize("last", ["another-5", "nonsense", "-1"])
def test_who_comes_from_another_process_is_told_so(shop, last):
    with Stream(shop, headers={"last-event-id": last}) as stream:
        _, kind, data = stream.next()
        assert (kind, data["missed"]) == ("reset", None)
        assert stream.next()[1:][1]["full"] is True


def test_who_was_away_too_long_is_told_how_much_is_lost(shop):
    with Stream(shop) as stream:
        last = stream.next("overview")[0]
    for _ in range(600):
        shop.caches.clear("books")
    with Stream(shop, headers={"last-event-id": last}) as stream:
        _, kind, data = stream.next()
    assert kind == "reset"
    assert data["missed"] == 200


def test_a_refill_is_told_while_it_goes_on_and_when_it_ends(shop):
    books = shop.caches.service("books")
    with Stream(shop, "?interval=1") as stream:
        stream.next("overview")
        books.clear(refill=Refill(0.001, wait_seconds=0))
        assert stream.next("refill")[2]["state"] == "running"
        books.stop_refill()
        over = stream.next("refill")[2]
    assert (over["state"], over["endedBy"], over["serviceName"]) == ("over", "stopped", "books")


def test_machines_that_acknowledge_are_told_one_by_one(shop):
    register = shop.caches.audit.register
    with Stream(shop) as stream:
        stream.next("overview")
        note = register.begin(
            "f" * 16, service="books", everything=False, mode="hard", scope=None, actor=None, reason=None
        )
        register.acknowledged(note, "left")
        register.acknowledged(note, "left")
        register.acknowledged(note, "right", lapsed=True)
        assert stream.next()[1] == "clear-begun"
        assert stream.next()[2]["member"]["acknowledged"] is True
        _, kind, data = stream.next()
    assert (kind, data["member"]["name"], data["member"]["lapsed"]) == ("clear-lapsed", "right", True)
    assert shop.client.get(f"{API}/overview?names=books").json()["caches"][0]["clearing"] == "f" * 16


def test_events_of_many_threads_have_numbers_of_their_own(shop):
    threads = [threading.Thread(target=lambda: [shop.caches.clear("books") for _ in range(20)]) for _ in range(4)]
    with Stream(shop) as stream:
        stream.next("overview")
        for thread in threads:
            thread.start()
        numbers = [int(stream.next()[0].rpartition("-")[2]) for _ in range(160)]
        for thread in threads:
            thread.join()
    assert numbers == list(range(numbers[0], numbers[0] + 160))


def test_no_more_streams_are_open_than_the_setting_allows(serve):
    with CacheManager() as caches:
        live = serve(caches, max_streams=1)
        with Stream(live):
            busy = live.client.get(f"{API}/live")
            assert busy.status_code == 503
            assert "retry-after" in busy.headers
