"""``cenote demo --workers``: several processes behind one port, which a clear reaches all."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.long


@pytest.fixture
def demo(start, tmp_path):
    def begin(workers, *arguments):
        return start(
            "demo", "--port", "0", "--json", "--workers", str(workers), *arguments, env={"TMPDIR": str(tmp_path)}
        )

    yield begin
    assert list(tmp_path.iterdir()) == [], "a directory was left behind"


def rates(demo):
    """The workers' hit rates of the next second in which all of them were read."""
    while True:
        found = [worker["hitRate"] for worker in demo.document("tick")["workers"]]
        if None not in found:
            return found


def ask(url, method, path, **options):
    # A connection of its own for each request, so that any worker may answer it.
    with httpx.Client(trust_env=False, timeout=30) as http:
        answer = http.request(method, f"{url}/api/system/{path}", **options)
    answer.raise_for_status()
    return answer.json()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_clear_through_any_worker_drops_the_hit_rates_of_all(demo):
    running = demo(4)
    url = running.document("listening")["url"]
    pids = [running.document("worker")["pid"] for _ in range(4)]
    assert len(set(pids)) == 4
    running.document("ready")
    before = rates(running)
    while min(before) < 75:  # the first searches find nothing
        before = rates(running)
    answer = ask(url, "POST", "performance/clear-cache")
    assert answer["level"] == "machine"
    assert sorted(member["pid"] for member in answer["members"]) == sorted(pids)
    assert all(member["acknowledged"] for member in answer["members"])
    assert answer["entriesCleared"] > 400
    heard = running.document("audit")
    assert (heard["action"], heard["entries"]) == ("clear_all", answer["entriesCleared"])
    # A second that was half over when the clear came shows half of the drop.
    lowest = [min(pair) for pair in zip(rates(running), rates(running), strict=True)]
    assert all(low < high - 15 for low, high in zip(lowest, before, strict=True)), (before, lowest)
    status = ask(url, "GET", "cache/status")
    assert (status["level"], status["serviceCacheCount"]) == ("machine", 3)
    assert sorted(each["pid"] for each in status["processes"]) == sorted(pids)
    done = running.end(signal.SIGINT)
    assert done.code == 0
    assert done.err == ""
    summary = json.loads(done.out.splitlines()[-1])
    assert (summary["event"], summary["clears"]) == ("summary", 1)
    assert not any(map(is_alive, pids))


def test_a_worker_that_is_killed_is_shown_and_another_takes_its_place(demo):
    running = demo(2)
    url = running.document("listening")["url"]
    pids = [running.document("worker")["pid"] for _ in range(2)]
    running.document("ready")
    rates(running)
    os.kill(pids[0], signal.SIGKILL)
    while (news := running.document("worker"))["state"] != "ended":
        pass
    assert (news["worker"], news["pid"], news["reason"]) == (1, pids[0], "killed by SIGKILL")
    another = running.document("worker")
    assert (another["worker"], another["state"]) == (1, "started")
    parts = running.document("tick")["workers"]
    assert (parts[0]["state"], parts[1]["pid"]) == ("warming", pids[1])
    while running.document("worker") != {**another, "state": "busy"}:
        pass
    rates(running)
    answer = ask(url, "POST", "cache/clear", json={"serviceName": "etherforce"})
    assert sorted(member["pid"] for member in answer["members"]) == sorted([another["pid"], pids[1]])
    done = running.end(signal.SIGTERM)
    assert (done.code, done.err) == (0, "")
    assert not any(map(is_alive, [another["pid"], *pids]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_the_workers_warm_up_it_leaves_none_behind(demo, number):
    running = demo(2)
    pids = [running.document("worker")["pid"] for _ in range(2)]
    running.document("warming")
    done = running.end(number)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out.splitlines()[-1])["event"] == "summary"
    assert not any(map(is_alive, pids))


def test_when_the_parent_is_killed_its_workers_end_and_tidy_up(demo, tmp_path):
    running = demo(2)
    for _ in range(2):
        running.document("worker")
    running.document("ready")
    # The workers hold its standard error, and let go of it when they end.
    done = running.end(signal.SIGKILL)
    assert done.code == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_after_its_seconds_it_ends_by_itself_and_shows_a_line_a_worker(cenote):
    before = set(Path(tempfile.gettempdir()).glob("cenote-demo-*"))
    done = cenote("demo", "--port", "0", "--workers", "2", "--seconds", "2")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert any(line.startswith("1 s: hit rate") for line in lines)
    for number in (1, 2):
        assert any(line.startswith(f"  worker {number}: hit rate ") for line in lines)
    assert "requests in 2 s; hit rate" in lines[-2]
    assert set(Path(tempfile.gettempdir()).glob("cenote-demo-*")) <= before
