"""``cenote top`` follows what the server streams, and asks where there is no stream for it."""

from __future__ import annotations

import httpx
import pytest


def text(app):
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def test_the_stream_keeps_the_rows_and_tells_of_clears_by_others(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await app.see("● live")
        await app.see("books")
        before = app.desk.board.totals["hits"]
        told = []
        app.screen.news = lambda kind, data, news=app.screen.news: told.append(kind) or news(kind, data)
        await pilot.pause()
        while app.desk.board.totals["hits"] == before:
            await pilot.pause(0.02)
        served("clear", "shop", "--reason", "because")
        await app.see("cleared: shop, 1 entry")
        assert "overview" in told
        assert told.index("clear-begun") < told.index("clear-done")
        served("invalidate", "title(3)", "--service", "books")
        await app.see("invalidate  books  title(3)")
        assert "\n".join(text(app).splitlines()[:1]).endswith("● live")


async def test_without_a_place_at_the_stream_the_server_is_asked(busy, top):
    served = busy(env={"CENOTE_MAX_STREAMS": "1"})
    async with (
        httpx.AsyncClient(base_url=served.url, trust_env=False) as http,
        http.stream("GET", "/api/system/cache/live") as answer,
        top(served.url) as (app, pilot),
    ):
        assert answer.status_code == 200
        await app.see("○ polling every 2 s")
        before = app.desk.board.totals["hits"]
        while app.desk.board.totals["hits"] == before:
            await pilot.pause(0.02)


@pytest.mark.parametrize(
    ("keys", "word", "told"),
    [
        (("down", "c"), "books", "refill at 0.05/s running"),
        (("C",), "everything", "refill at 0.05/s in each of 3 caches running"),
    ],
)
async def test_a_paced_refill_is_shown_and_ended_with_a_key(busy, top, keys, word, told):
    served = busy()
    async with top(served.url) as (app, pilot):
        await app.see("● live")
        await app.see("books")
        await pilot.press(*keys)
        await app.see("would go")
        app.screen.query_one("#rate").focus()
        await pilot.press(*"0.05", "enter")
        app.screen.query_one("#confirm").focus()
        while app.screen._seen is None or app.screen._seen.rate != 0.05:
            await pilot.pause(0.02)
        await pilot.press(*word, "enter")
        await app.see(told)
        await app.see("End the refill")
        await pilot.press("f2")
        await app.see("over (stopped)")
