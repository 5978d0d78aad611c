"""The audit trail as a list, and as a stream that is really streamed."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest

from cenote import CacheManager

EVENTS = "/api/system/cache/events"
STREAM = f"{EVENTS}/stream"
CLEAR = "/api/system/cache/clear"


class Listener:
    """Reads one stream, block by block."""

    def __init__(self, answer):
        self.answer = answer
        self._lines = answer.iter_lines()

    def block(self):
        """Return the next block's lines, or None at the end."""
        lines = []
        for line in self._lines:
            if not line:
                return lines
            lines.append(line)
        return None

    def event(self):
        """Return the next event as (id, type, data), comments left out."""
        while (block := self.block()) is not None:
            fields = dict(line.split(": ", 1) for line in block if not line.startswith(":"))
            if "data" in fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])
        return None


@contextmanager
def listening(live, **arguments):
    with live.client.stream("GET", STREAM, **arguments) as answer:
        assert answer.status_code == 200, answer.read()
        listener = Listener(answer)
        assert listener.block() == ["retry: 1000"]
        yield listener


def newest(caches):
    return caches.audit.events(limit=1)[-1].id


class TestList:
    def test_every_field_of_a_clear_is_there(self, http, caches):
        caches.service("workflow").set("k", 1)
        receipt = http.post(CLEAR, json={"serviceName": "workflow", "reason": "why"}).json()
        answer = http.get(EVENTS).json()
        event = answer["events"][-1]
        assert event.pop("timestamp").endswith("Z")
        assert event.pop("durationMs") >= 0
        assert event == {
            "id": answer["lastId"],
            "action": "clear",
            "serviceName": "workflow",
            "mode": "hard",
            "status": "success",
            "entries": 1,
            "level": "process",
            "reason": "why",
            "actor": "127.0.0.1",
            "clearId": receipt["clearId"],
            "key": None,
            "tags": [],
            "prefix": None,
            "message": receipt["message"],
        }

    def test_an_invalidation_names_its_key(self, http, caches):
        caches.global_cache.set("k", 1)
        http.request("DELETE", "/api/system/cache/invalidate", json={"key": "k"})
        event = http.get(EVENTS).json()["events"][-1]
        assert (event["action"], event["key"], event["entries"]) == ("invalidate", "k", 1)

    def test_a_huge_key_is_cut_in_the_trail_which_is_kept_in_memory(self, http, caches):
        key = "k" * 500_000
        answer = http.request("DELETE", "/api/system/cache/invalidate", json={"key": key})
        assert answer.json()["key"] == key
        kept = caches.audit.events(limit=1)[0].key
        assert kept.startswith("kkk")
        assert kept.endswith("…")
        assert len(kept) < 5000

    def test_after_limit_and_service_narrow_the_list(self, http, caches):
        caches.service("a")
        caches.service("b")
        start = newest(caches)
        for name in "abab":
            http.post(CLEAR, json={"serviceName": name})
        listed = http.get(EVENTS, params={"after": start}).json()
        assert [event["serviceName"] for event in listed["events"]] == ["a", "b", "a", "b"]
        assert listed["lastId"] == start + 4
        of_b = http.get(EVENTS, params={"after": start, "service": "b"}).json()["events"]
        assert [event["id"] for event in of_b] == [start + 2, start + 4]
        assert len(http.get(EVENTS, params={"limit": 2}).json()["events"]) == 2
        assert http.get(EVENTS, params={"after": start + 4}).json() == {"events": [], "lastId": start + 4}

    @pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1001}, {"after": -1}, {"after": 2**63}, {"x": 1}])
    def test_bad_parameters_are_a_422(self, http, params):
        assert http.get(EVENTS, params=params).status_code == 422


class TestStream:
    def test_an_event_arrives_while_the_stream_is_open(self, live, caches):
        caches.service("workflow")
        with listening(live) as listener:
            caches.clear("workflow", reason="now")
            number, kind, data = listener.event()
            assert (number, kind) == (newest(caches), "clear")
            assert (data["serviceName"], data["reason"], data["id"]) == ("workflow", "now", number)
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        assert listener.answer.headers["cache-control"] == "no-store"

    def test_events_of_other_threads_arrive_in_order_and_none_is_missed(self, live, caches):
        start = newest(caches)
        with listening(live) as listener:
            threads = [threading.Thread(target=lambda: [caches.clear() for _ in range(50)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            numbers = [listener.event()[0] for _ in range(200)]
            for thread in threads:
                thread.join()
        assert numbers == list(range(start + 1, start + 201))

    @pytest.mark.parametrize("place", ["header", "query"])
    def test_a_client_that_reconnects_gets_what_it_missed(self, live, caches, place):
        start = newest(caches)
        for _ in range(250):
            caches.clear()
        where = {"headers": {"Last-Event-ID": str(start)}} if place == "header" else {"params": {"after": start}}
        with listening(live, **where) as listener:
            assert [listener.event()[0] for _ in range(250)] == list(range(start + 1, start + 251))

    def test_a_client_of_an_earlier_process_gets_everything_of_this_one(self, serve):
        with CacheManager() as caches:
            live = serve(caches)
            caches.clear()
            with listening(live, headers={"Last-Event-ID": "900000"}) as listener:
                assert listener.event()[0] == 1

    def test_events_that_left_the_trail_are_told_as_a_gap(self, serve):
        with CacheManager() as caches:
            live = serve(caches)
            for _ in range(20_000):
                caches.clear()
                if caches.audit.events(limit=1_000_000)[0].id > 3:
                    break
            oldest = caches.audit.events(limit=1_000_000)[0].id
            with listening(live, params={"after": 1}) as listener:
                number, kind, data = listener.event()
                assert (kind, data["missed"], number) == ("gap", oldest - 2, oldest - 1)
                assert listener.event()[0] == oldest

    def test_only_what_concerns_a_service_comes_when_one_is_named(self, live, caches):
        caches.service("a")
        caches.service("b")
        with listening(live, params={"service": "b"}) as listener:
            caches.clear("a")
            caches.clear("b")
            caches.clear()
            caches.clear_all()
            assert listener.event()[2]["serviceName"] == "b"
            assert listener.event()[1] == "clear_all"

    def test_silence_is_filled_with_heartbeats(self, live):
        with listening(live) as listener:
            assert listener.block() == [": still here"]
            assert listener.block() == [": still here"]

    def test_places_are_bounded_and_given_back(self, serve):
        with CacheManager() as caches:
            live = serve(caches, max_streams=2, heartbeat_seconds=0.05)
            with listening(live), listening(live):
                refused = live.client.get(STREAM)
                assert refused.status_code == 503
                assert refused.headers["retry-after"]
            # The server learns of a closed connection on its own time.
            for _ in range(500):
                answer = live.client.send(live.client.build_request("GET", STREAM), stream=True)
                answer.close()
                if answer.status_code == 200:
                    break
            assert answer.status_code == 200

    def test_a_stream_ends_when_its_lifetime_is_over(self, serve):
        with CacheManager() as caches:
            live = serve(caches, stream_seconds=0.1)
            with listening(live) as listener:
                assert listener.event() is None

    def test_streams_end_cleanly_when_the_server_shuts_down(self, serve):
        with CacheManager() as caches:
            live = serve(caches)
            with listening(live) as one, listening(live) as other:
                live.server.should_exit = True
                assert one.event() is None
                assert other.event() is None
            live.thread.join(10)
            assert not live.thread.is_alive()

    def test_a_client_that_reads_nothing_costs_no_memory_and_no_other_client_waits(self, live, caches):
        with socket.create_connection(("127.0.0.1", live.port)) as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            lazy.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            lazy.recv(15)
            with listening(live) as listener:
                for _ in range(300):
                    caches.clear()
                assert [listener.event()[0] for _ in range(300)][-1] == newest(caches)

    @pytest.mark.parametrize("last", ["x", "-1", "1e3", str(2**63)])
    def test_a_bad_last_event_id_is_a_422(self, http, last):
        assert http.get(STREAM, headers={"Last-Event-ID": last}).status_code == 422
