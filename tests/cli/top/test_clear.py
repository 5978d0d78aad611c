"""A clear on the terminal, from the preview to the recovery."""

from __future__ import annotations

import asyncio
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from cenote.cli.top.receipts import foretold, recovery

PATIENCE = 60


def text(app):
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def entries(served, service):
    with httpx.Client(base_url=served.url, trust_env=False) as http:
        return http.get(f"/api/system/cache/stats/{service}").json()["statistics"]["currentSize"]


def events(served):
    with httpx.Client(base_url=served.url, trust_env=False) as http:
        return http.get("/api/system/cache/events").json()["events"]


async def begin(app, pilot, *keys):
    await app.see("shop")
    await app.see("Clear all")
    await pilot.press(*keys)
    await app.see("would go")


async def test_a_cache_is_cleared_after_a_preview_and_its_typed_name_and_the_recovery_is_watched(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "down", "c")
        assert "20 entries would go · level process, 1 process" in text(app)
        assert re.search(r"^ *some of them: title\(\d+\), title\(\d+\)", text(app), re.MULTILINE)
        await pilot.press(*"books", "enter")
        await app.see("Successfully cleared cache for service: books")
        assert "20 entries · level process · 1 of 1 acknowledged" in text(app)
        (event,) = [event for event in events(served) if event["action"] == "clear"]
        assert f"receipt {event['clearId']}" in text(app)
        await app.see("loaded again")
        await pilot.press("escape")
        await app.see("cache▲")


@pytest.mark.parametrize("word", ["", "sho", "shop2", "everything", "SHOP"])
async def test_another_word_clears_nothing(busy, top, word):
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "end", "c")
        await pilot.press(*word, "enter")
        await app.see("nothing was cleared: type shop")
        await pilot.press("escape")
        await app.see("cache▲")
    assert events(served) == []
    assert entries(served, "shop") == 1


async def test_what_was_not_previewed_is_not_cleared(busy, top):
    """The form is changed and the word is entered in one go: nobody has seen what that would clear."""
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "end", "c")
        page = app.screen
        page.query_one("#prefix").value = "nothing"
        page.query_one("#confirm").value = "shop"
        await pilot.press("enter")
        await app.see("the preview is not here yet")
        assert events(served) == []
        await app.see("0 entries would go")
        await pilot.press("enter")
        await app.see("Successfully")
    assert entries(served, "shop") == 1


async def test_a_part_is_cleared_softly_by_tag_with_a_reason(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "end", "c")
        page = app.screen
        page.query_one("#soft").focus()
        await pilot.press("space")
        assert "[x] soft" in text(app)
        page.query_one("#tags").focus()
        await pilot.press(*"plain, other")
        page.query_one("#reason").focus()
        await pilot.press(*"[red]why", "enter")
        await app.see("1 entry would turn stale")
        await pilot.press(*"shop", "enter")
        await app.see("receipt")
    (event,) = events(served)
    assert (event["mode"], event["tags"], event["reason"]) == ("soft", ["other", "plain"], "[red]why")


async def test_everything_is_cleared_after_the_word_everything(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "C")
        assert "prefix" not in text(app)
        await pilot.press(*"everything", "enter")
        await app.see("Successfully cleared all caches")
    assert [event["action"] for event in events(served)] == ["clear_all"]


async def test_a_clear_whose_server_is_gone_says_that_it_is_not_known(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "end", "c")
        served.running.process.kill()
        served.running.end()
        await pilot.press(*"shop", "enter")
        await app.see("cleared is not known; receipt")


async def test_a_clear_of_machines_that_share_a_directory_says_who_acknowledged(host, top, tmp_path):
    pair = [host("--url", f"memory://{tmp_path}/shared") for _ in range(2)]
    pair[1].put("dune", service="books")
    async with asyncio.timeout(PATIENCE), top(pair[0].url) as (app, pilot):
        await app.see("Clear all")
        await app.see("books")
        await pilot.press("end", "c")
        await app.see("1 entry would go · level machine, 2 processes")
        await pilot.press(*"books", "enter")
        await app.see("level machine · 2 of 2 acknowledged")


class Port:
    """One port behind which two servers answer, as worker processes do: which one, the test says.

    Attributes:
        url: Its address.
        servers: Beginnings of paths, and who is asked for what lies below them; the first one that fits.
    """

    def __init__(self, servers):
        self.servers = servers
        port = self

        class Forward(BaseHTTPRequestHandler):
            def forward(self):
                if "/cache/live" in self.path:
                    self.send_error(503)  # as where all streams are taken
                    return
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                url = next(url for part, url in port.servers if part in self.path)
                with httpx.Client(base_url=url, trust_env=False) as http:
                    kind = {"content-type": "application/json"} if body else {}
                    answer = http.request(self.command, self.path, content=body, headers=kind)
                self.send_response(answer.status_code)
                self.send_header("content-type", answer.headers["content-type"])
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_DELETE = forward  # noqa: N815  # names of the library

            def log_message(self, *_):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


async def test_a_recovery_that_the_process_which_answers_did_not_watch_is_asked_for_again(host, busy, top):
    served, other = busy(), host()
    with Port([("/recovery", other.url), ("", served.url)]) as port:
        async with top(port.url) as (app, pilot):
            await begin(app, pilot, "down", "c")
            await pilot.press(*"books", "enter")
            await app.see("did not watch the recovery")
            assert "Successfully" in text(app)
            port.servers = [("", served.url)]
            await app.see("loaded again")
            assert "did not watch" not in text(app)


async def test_of_a_part_no_recovery_is_awaited(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "end", "c")
        app.screen.query_one("#prefix").value = "nothing"
        await app.see("0 entries would go")
        await pilot.press(*"shop", "enter")
        await app.see("not that of a part")


async def test_a_preview_says_why_nothing_is_foretold(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await begin(app, pilot, "end", "c")
        await app.see("cannot be predicted yet: ")


@pytest.mark.parametrize(
    ("waits", "said"), [("all", ""), ("first", ", one of each entry"), ("none", ", behind stale copies")]
)
def test_a_preview_says_who_waits_for_what_is_loaded_again(waits, said):
    cost = {"reloadSeconds": 2.0, "reloads": 5, "horizonSeconds": 600, "callersWait": waits}
    paid = foretold({"entries": 5, "mode": "soft", "cost": cost, "basis": "too early"}, 80).splitlines()
    assert paid[1] == f"callers pay 2.0 s of loading again in 5 loads within 10.0 min{said}"
    assert paid[2] == "the recovery cannot be predicted yet: too early"


def test_a_recovery_behind_a_soft_clear_counts_what_was_served_stale():
    said = {"actual": {"curve": [], "reloads": 1, "staleServed": 7}, "clear": {"mode": "soft"}}
    assert "stale values served meanwhile: 7" in recovery(said, 80)
    assert "stale" not in recovery(said | {"clear": {"mode": "hard"}}, 80)


FORETOLD = {"hitRateBefore": 80.0, "secondsTo90": 12.0, "secondsTo95": 30.0, "curve": [], "confidence": "good"}


def test_a_preview_and_a_recovery_tell_when_95_percent_are_back():
    told = foretold({"entries": 5, "prediction": FORETOLD | {"peakLoadsPerSecond": 3}}, 80)
    assert "back to 90% of that after 12.0 s, 95% after 30.0 s" in told
    assert max(map(len, told.splitlines())) <= 80
    assert "95% not soon" in foretold({"prediction": FORETOLD | {"secondsTo95": None}}, 80)
    actual = {"curve": [], "secondsTo90": 14.0, "secondsTo95": None}
    lines = recovery({"actual": actual, "predicted": FORETOLD, "hitRateBefore": 80.0}, 80).splitlines()
    assert lines[0].endswith("back to 90% after 14.0 s (predicted 12.0 s)")
    assert lines[1] == "predicted: 95% after 30.0 s"
    assert "95% after 40.0 s (predicted 30.0 s)" in recovery(
        {"actual": actual | {"secondsTo95": 40}, "predicted": FORETOLD}, 80
    )


def test_some_entries_are_named_on_one_line_however_long_or_hostile_they_are():
    told = foretold({"entries": 2, "items": ["\x1b[2Jlong" * 20, "x"]}, 80)
    (line,) = [line for line in told.splitlines() if line.startswith("some of them: ")]
    assert "\x1b" not in line
    assert len(line) <= 80
