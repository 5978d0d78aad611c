"""``cenote demo``: three services at work, and what a clear does to them while they run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from contextlib import closing

import httpx
import pytest


def post(url, body, path="/api/system/cache/clear", method="POST"):
    with httpx.Client(trust_env=False) as http:
        answer = http.request(method, f"{url}{path}", json=body)
    answer.raise_for_status()
    return answer.json()


def rates(demo, service):
    """Yield a service's hit rate, second by second."""
    while True:
        yield demo.document("tick")["caches"][service]["hitRate"]


def test_clearing_a_service_drops_its_hit_rate_and_it_recovers(start):
    demo = start("demo", "--port", "0", "--json")
    url = demo.document("listening")["url"]
    demo.document("ready")
    etherforce = rates(demo, "etherforce")
    before = [next(etherforce) for _ in range(2)]
    assert min(before) > 80
    answer = post(url, {"serviceName": "etherforce"})
    assert answer["entriesCleared"] > 50
    heard = demo.document("audit")
    assert (heard["action"], heard["service"]) == ("clear", "etherforce")
    assert heard["entries"] == answer["entriesCleared"]
    dropped = min(next(etherforce) for _ in range(2))
    assert dropped < min(before) - 15
    recovered = next(rate for rate, _ in zip(etherforce, range(40), strict=False) if rate > dropped + 15)
    assert recovered > dropped
    done = demo.end(signal.SIGINT)
    assert done.code == 0
    summary = json.loads(done.out.splitlines()[-1])
    assert summary["event"] == "summary"
    assert summary["clears"] == 1
    assert summary["requests"] > 0
    assert done.err == ""


def test_every_printed_command_works_as_it_stands(start):
    demo = start("demo", "--port", "0", "--json")
    commands = demo.document("ready")["commands"]
    assert set(commands) == {
        "clear a service",
        "clear the global cache",
        "invalidate an entry",
        "status",
        "stats",
    }
    demo.document("tick")
    answers = {}
    for name, command in commands.items():
        words = shlex.split(command)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        url = next(word for word in words if word.startswith("http"))
        body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
        with httpx.Client(trust_env=False) as http:
            answer = http.request(method, url, json=body)
        assert answer.status_code == 200, name
        answers[name] = answer.json()
    assert answers["clear a service"]["entriesCleared"] > 0
    assert answers["clear the global cache"]["entriesCleared"] > 0
    assert answers["invalidate an entry"]["found"] is True
    assert answers["status"]["serviceCacheCount"] == 3
    assert set(answers["stats"]["serviceCaches"]) == {"etherforce", "lorekeeper", "workflow"}
    assert demo.end(signal.SIGTERM).code == 0


def test_entries_of_all_services_carry_the_tag_of_their_module(start):
    demo = start("demo", "--port", "0", "--json")
    url = demo.document("listening")["url"]
    demo.document("ready")
    with httpx.Client(base_url=url, trust_env=False) as http:
        query = {"serviceName": "workflow", "prefix": "report(", "limit": 1}
        (entry,) = http.get("/api/system/cache/entries", params=query).json()["entries"]
    (tag,) = entry["tags"]
    assert tag.startswith("module:")
    for service in ("etherforce", "lorekeeper", "workflow"):
        assert post(url, {"serviceName": service, "tags": [tag], "dryRun": True})["entriesCleared"] > 0, service
    demo.end(signal.SIGTERM)


def test_after_its_seconds_it_ends_by_itself_with_a_summary(cenote):
    done = cenote("demo", "--port", "0", "--seconds", "2")
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0].startswith("Cenote demo: http://127.0.0.1:")
    assert any(line.startswith("Warming up: 50 %") for line in lines)
    assert any("curl -X POST" in line for line in lines)
    assert any(line.startswith("1 s: hit rate") for line in lines)
    assert "requests in 2 s; hit rate" in lines[-2]
    assert lines[-1] == "Clears seen: 0; entries invalidated: 0."
    assert done.out.isprintable() or "\x1b" not in done.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_warms_up_it_still_ends_with_a_summary(start, number):
    demo = start("demo", "--port", "0", "--json")
    demo.document("warming")
    done = demo.end(number)
    assert done.code == 0
    assert json.loads(done.out.splitlines()[-1])["event"] == "summary"
    assert done.err == ""


def test_a_port_that_is_taken_is_told_before_any_work_is_done(cenote):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        done = cenote("demo", "--port", port, "--seconds", "1")
    assert done.code == 8
    assert done.out == ""
    assert done.err == f"Error: Port {port} on 127.0.0.1 is taken by another program; choose another one with --port.\n"


def test_with_a_token_the_commands_take_it_from_the_environment_and_do_not_show_it(start):
    demo = start("demo", "--port", "0", env={"CENOTE_TOKEN": "secret-of-the-house"})
    while "curl" not in (line := demo.line()):
        pass
    assert "curl" in line
    while "stats" not in demo.line():
        pass
    assert 'Bearer $CENOTE_TOKEN"' in demo.line()
    done = demo.end(signal.SIGTERM)
    assert "secret-of-the-house" not in done.out + done.err


def test_without_sources_of_the_library_it_says_so(tmp_path):
    program = (
        "import sys, sysconfig; real = sysconfig.get_path;"
        f"sysconfig.get_path = lambda name, *rest: {os.fspath(tmp_path)!r} if name == 'stdlib' else real(name, *rest);"
        "sys.argv = ['cenote', 'demo', '--port', '0']; from cenote.cli import main; main()"
    )
    import sys

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 8
    assert "sources of Python's own library" in done.stderr
    assert len(done.stderr.splitlines()) == 1
