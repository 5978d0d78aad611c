"""``cenote serve``: it says where it is, guards itself, and stops when told to."""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import closing

import httpx
import pytest

APP = """
from cenote import CacheManager

caches = CacheManager()
caches.service("shop").set("price", 5)
not_a_manager = 1
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_cleanly(host, number):
    served = host()
    done = served.running.end(number)
    assert done.code == 0
    assert '{"event": "stopped"}' in done.out
    assert done.err == ""


def test_an_open_event_stream_does_not_delay_the_end(host):
    served = host()
    with (
        httpx.Client(trust_env=False, timeout=30) as http,
        http.stream("GET", f"{served.url}/api/system/cache/events/stream") as answer,
    ):
        assert answer.status_code == 200
        lines = answer.iter_lines()
        next(lines)
        begun = time.monotonic()
        done = served.running.end(signal.SIGTERM)
        assert time.monotonic() - begun < 8
    assert done.code == 0
    assert done.err == ""


def test_a_person_reads_where_the_server_is(start):
    running = start("serve", "--port", "0")
    assert running.line().startswith("Cenote serves http://127.0.0.1:")
    assert running.end(signal.SIGTERM).out.endswith("Cenote has stopped.")


def test_a_port_that_is_taken_is_told_in_one_sentence(cenote):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        done = cenote("serve", "--port", port)
    assert done.code == 8
    assert done.err == f"Error: Port {port} on 127.0.0.1 is taken by another program; choose another one with --port.\n"


def test_other_machines_are_served_only_with_a_token(cenote):
    done = cenote("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 2
    assert "token" in done.err.lower()
    assert len(done.err.splitlines()) == 1


def test_the_token_is_in_no_line_of_the_server(host):
    served = host(token="secret-of-the-house")
    served.put("k")
    assert served("clear", "--global").code == 0
    httpx.get(f"{served.url}/api/system/cache/status?token=secret-of-the-house", trust_env=False)
    done = served.running.end(signal.SIGTERM)
    assert "secret-of-the-house" not in done.out + done.err


def test_the_caches_of_an_application_are_served(host, tmp_path):
    (tmp_path / "shop_caching.py").write_text(APP)
    served = host("--app", "shop_caching:caches", cwd=str(tmp_path))
    assert served("keys", "shop").out == "price\n"
    assert served("clear", "shop", "--json").json["entriesCleared"] == 1


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("shop_caching", "MODULE:MANAGER"),
        ("nowhere_to_be_found:caches", "No module named"),
        ("shop_caching:nothing", "no attribute"),
        ("shop_caching:not_a_manager", "not a CacheManager"),
        ("broken_caching:caches", "ZeroDivisionError"),
    ],
)
def test_an_application_that_cannot_be_served_is_wrong_usage(cenote, tmp_path, app, reason):
    (tmp_path / "shop_caching.py").write_text(APP)
    (tmp_path / "broken_caching.py").write_text("1 / 0")
    done = cenote("serve", "--port", "0", "--app", app, cwd=str(tmp_path))
    assert done.code == 2
    assert reason in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "punchcards://"),
        ("--host", "no such host"),
        ("--port", "70000"),
        ("--url", "memory://", "--app", "a:b"),
    ],
)
def test_settings_that_cannot_be_used_are_wrong_usage(cenote, arguments):
    done = cenote("serve", "--port", "0", *arguments)
    assert done.code == 2
    assert "Traceback" not in done.err


LOGGING_APP = """
import logging
import warnings
from cenote import CacheManager

caches = CacheManager()
caches.service("shop").set("price", 5)
logging.getLogger("shop").warning("two\\nlines", extra={"order": 7})
logging.getLogger("shop").info("not shown")
warnings.warn("mind the step")
"""


def test_every_line_of_the_logs_is_a_json_object_when_that_is_asked_for(host, tmp_path):
    (tmp_path / "logging_shop.py").write_text(LOGGING_APP)
    served = host("--app", "logging_shop:caches", "--log-format", "json", cwd=str(tmp_path))
    assert served("clear", "shop", "--reason", "deploy 17").code == 0
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as raw:
        raw.sendall(b"no request at all\r\n\r\n")
        raw.recv(100)
    found = [json.loads(line) for line in served.running.end(signal.SIGTERM).err.splitlines()]
    assert [(each["logger"], each["level"]) for each in found] == [
        ("shop", "WARNING"),
        ("py.warnings", "WARNING"),
        ("cenote.audit", "INFO"),
        ("uvicorn.error", "WARNING"),
    ]
    assert (found[0]["message"], found[0]["order"]) == ("two\nlines", 7)
    assert (found[2]["cache"], found[2]["reason"], found[2]["reach"]) == ("shop", "deploy 17", "process")


def test_the_logs_are_lines_of_text_otherwise_and_a_variable_says_so_too(host, cenote, tmp_path):
    (tmp_path / "logging_shop.py").write_text(LOGGING_APP)
    served = host("--app", "logging_shop:caches", cwd=str(tmp_path))
    assert served("clear", "shop").code == 0
    lines = served.running.end(signal.SIGTERM).err.splitlines()
    assert "WARNING shop: two\\nlines order=7" in lines[0]
    assert "INFO cenote.audit: Successfully cleared cache for service: shop action=clear" in lines[-1]
    done = cenote("serve", "--port", "0", env={"CENOTE_LOG_FORMAT": "xml"})
    assert (done.code, "CENOTE_LOG_FORMAT must be text or json" in done.err) == (2, True)
