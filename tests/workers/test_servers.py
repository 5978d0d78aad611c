"""Behind every server a clear through one worker holds in all of them."""

from __future__ import annotations

import os
import signal
import time

import pytest

SERVERS = {
    "uvicorn": "uvicorn --workers 2 --port PORT --log-level warning shop:app",
    "gunicorn": "gunicorn -k asgi -w 2 -b 127.0.0.1:PORT --no-control-socket shop:app",
    "gunicorn, preloaded": "gunicorn -k asgi -w 2 -b 127.0.0.1:PORT --no-control-socket --preload shop:app",
    "gunicorn with uvicorn's workers": (
        "gunicorn -k uvicorn.workers.UvicornWorker -w 2 -b 127.0.0.1:PORT --no-control-socket shop:app"
    ),
    "granian": "granian --interface asgi --workers 2 --port PORT shop:app",
}
CLEAR = "/api/system/cache/clear"


@pytest.mark.parametrize("server", SERVERS)
def test_no_worker_serves_what_was_loaded_before_a_clear(serve, server):
    shop = serve(*SERVERS[server].split())
    first = shop.of_every_worker(2)
    for _ in range(3):
        begun = time.time()
        answer = shop.ask("POST", CLEAR, json={"serviceName": "prices"})
        body = answer.json()
        assert (answer.status_code, body["level"]) == (200, "machine")
        assert body["entriesCleared"] == 2
        assert set(first) <= {member["pid"] for member in body["members"]}
        after = shop.of_every_worker(2)
        assert after.keys() == first.keys()
        assert all(each["looked_up"] >= begun for each in after.values()), (begun, after)
    status = shop.ask("GET", "/api/system/cache/status").json()
    assert (status["level"], status["totalEntries"]) == ("machine", 2)
    assert set(first) <= {each["pid"] for each in status["processes"]}
    # Gunicorn's parent process has imported the app too, where that is preloaded.
    assert len(status["processes"]) == (3 if "preloaded" in server else 2)
    assert shop.stop() == 0


def test_the_figures_are_sums_whichever_worker_answers(serve):
    shop = serve(*SERVERS["uvicorn"].split())
    shop.of_every_worker(2)
    paths = ("/api/system/cache/stats", "/api/system/cache/stats/prices", "/metrics")
    for path in paths:
        answers = {shop.ask("GET", path).text for _ in range(8)}
        if path == "/metrics":
            lines = [line for text in answers for line in text.splitlines()]
            assert {line for line in lines if line.startswith("cenote_cache_loads")} >= {
                'cenote_cache_loads_total{cache="prices"} 2.0'
            }
            assert {line for line in lines if line.startswith("cenote_processes")} == {"cenote_processes 2.0"}
        assert len(answers) == 1


COUNTED = ("_total", "_bucket", "_count", "_sum")


def counters(text):
    """The samples of a scrape that may only grow."""
    samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples if name.partition("{")[0].endswith(COUNTED)}


def test_a_scrape_that_lands_on_another_worker_never_goes_backwards_though_one_was_killed(serve):
    shop = serve(*SERVERS["uvicorn"].split())
    first = shop.of_every_worker(2)
    seen = {}
    for turn in range(16):
        if turn % 4 == 0:
            assert shop.ask("POST", CLEAR, json={"serviceName": "prices"}).status_code == 200
        shop.ask("GET", "/price/dune")
        found = counters(shop.ask("GET", "/metrics").text)
        assert {name: (value, found.get(name)) for name, value in seen.items() if found.get(name, -1) < value} == {}
        seen = found
        if turn == 8:
            # Who was scraped last may have counted since; what a scrape has shown stays.
            os.kill(int(next(iter(first))), signal.SIGKILL)
            shop.wait_until_ready()
    cleared = {"level": "machine", "result": "success"}
    labels = ",".join(f'{name}="{value}"' for name, value in cleared.items())
    assert seen[f"cenote_clear_duration_seconds_count{{{labels}}}"] in (3, 4)
    assert (
        seen['cenote_cache_load_duration_seconds_count{cache="prices"}']
        == seen['cenote_cache_loads_total{cache="prices"}']
    )
    assert seen['cenote_cache_load_duration_seconds_bucket{cache="prices",le="+Inf"}'] >= 5
