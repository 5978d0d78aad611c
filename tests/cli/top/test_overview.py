"""The first page of ``cenote top``."""

from __future__ import annotations

import asyncio

import pytest


def lines(app):
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


async def test_all_caches_are_shown_with_what_they_do_in_80_columns(busy, top):
    served = busy()
    async with top(served.url) as (app, _pilot):
        await app.see("books")
        await app.see("20/1.0k")
        # It waits for who we are.
        await app.see("Clear")
        shown = "\n".join(lines(app))
        assert "(global)" in shown
        assert "shop" in shown
        assert "operator" in lines(app)[0]
        assert "3 caches" in shown
        assert max(map(len, lines(app))) <= 80
        assert len(lines(app)) == 24
        for key in ("Search", "Clear", "Quit"):
            assert key in lines(app)[-1]


async def test_caches_are_sorted_by_any_column_and_the_cursor_stays_with_its_cache(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await app.see("shop")
        await pilot.press("end")
        assert app.screen._table.service_at(app.screen._table.cursor) == (True, "shop")
        await pilot.press("s")
        await app.see("hitrate▼")
        async with asyncio.timeout(60):
            while [app.desk.board.row(place)["serviceName"] for place in range(2)] != ["books", "shop"]:
                await pilot.pause(0.02)
        await pilot.press("r")
        await app.see("hitrate▲")
        await pilot.press("S")
        await app.see("cache▲")


async def test_a_search_leaves_what_matches_and_escape_brings_the_rest_back(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await app.see("shop")
        await pilot.press("slash", *"BOO")
        await app.see("1 cache match “BOO”")
        assert "books" in "\n".join(lines(app))
        assert "shop" not in "\n".join(lines(app))
        await pilot.press("escape")
        await app.see("3 caches")
        await app.see("shop")


async def test_thousands_of_services_cost_what_the_screen_shows(busy, top):
    served = busy(more=2000)
    async with top(served.url) as (app, pilot):
        await app.see("2,003 caches")
        assert 0 < len(app.desk.board._rows) <= 200
        table = app.screen._table
        drawn = []
        real = table.line
        table.line = lambda place, width: drawn.append(place) or real(place, width)
        await pilot.press("end")
        await app.see("shop")
        await app.see("more1999")
        assert app.desk.board.row(0) is None
        assert app.desk.board.row(2002)["serviceName"] == "shop"
        assert len(app.desk.board._rows) <= 200
        assert len(set(drawn)) <= 3 * table.rows
        await pilot.press("slash", *"more1234", "enter")
        await app.see("1 cache match")
        await app.see("more1234")


async def test_a_viewer_looks_and_has_no_clear(busy, top):
    served = busy(token="operators-token", env={"CENOTE_VIEWER_TOKEN": "viewers-token"})
    async with top(served.url, "viewers-token") as (app, pilot):
        await app.see("books")
        await app.see("viewer")
        assert "Clear" not in lines(app)[-1]
        first = app.screen
        await pilot.press("c", "C")
        await pilot.pause()
        assert app.screen is first
        await pilot.press("down", "enter")
        await app.see("hit rate ever")
        assert "Clear" not in lines(app)[-1]
        await pilot.press("c")
        await pilot.pause()
        assert type(app.screen).__name__ == "ServicePage"


async def test_a_server_that_was_killed_is_missed_and_found_again(busy, top):
    served = busy()
    port = served.url.rpartition(":")[2]
    async with top(served.url) as (app, pilot):
        await app.see("books")
        served.running.process.kill()
        served.running.end()
        await app.see("away")
        await app.see("No server answers")
        await pilot.press("down")
        assert "books" in "\n".join(lines(app))
        again = busy("--port", port)
        assert again.url == served.url
        async with asyncio.timeout(60):
            while app.desk.link.state.value not in {"live", "polling"}:
                await pilot.pause(0.02)
        await app.see("operator")


@pytest.mark.parametrize("token", ["wrong", None])
async def test_a_token_that_is_taken_away_is_told_on_the_first_line(busy, top, token):
    served = busy(token="right")
    async with top(served.url, token) as (app, pilot):
        said = "refused" if token else "wants a token"
        await app.see(said)
        async with asyncio.timeout(60):
            while said not in "\n".join(lines(app)[:2]):
                await pilot.pause(0.02)
        # It is not waited for as a server is that does not answer.
        assert app.desk.link.state.value == "refused"


async def test_the_processes_that_share_the_caches_have_a_page(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await app.see("books")
        await pilot.press("m")
        await app.see(str(served.running.process.pid))
        await pilot.press("escape", "question_mark")
        await app.see("reverse")
