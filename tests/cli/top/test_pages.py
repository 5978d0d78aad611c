"""The pages of one cache: figures, entries, one entry."""

from __future__ import annotations


def text(app):
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def test_a_cache_shows_figures_curves_and_options_in_force(busy, top):
    served = busy()
    async with top(served.url, size=(80, 50)) as (app, pilot):
        await app.see("books")
        await pilot.press("down", "enter")
        await app.see("hit rate ever")
        await app.see("maxEntries               1000")
        assert "20 of 1.0k" in text(app)
        assert "The last 10 minutes" in text(app)
        assert "Functions: title" in text(app)
        await pilot.press("h")
        await app.see("The last 24 hours")


async def test_entries_are_listed_by_prefix_or_tag_and_each_is_explained(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await app.see("books")
        await pilot.press("down", "enter", "e")
        await app.see("20 entries")
        await pilot.press("slash", *"title(1", "enter")
        await app.see("11 entries")
        await pilot.press("slash", "ctrl+u", *"tag:novels", "enter")
        await app.see("20 entries")
        await pilot.press("down", "enter")
        await app.see("state      fresh")
        assert "tags       novels" in text(app)
        await pilot.press("escape", "x", *"title(99)", "enter")
        await app.see("state      missing")


async def test_what_a_key_holds_is_shown_and_never_obeyed(busy, top):
    served = busy()
    async with top(served.url) as (app, pilot):
        await app.see("shop")
        await pilot.press("end", "enter", "e")
        await app.see(r"\x1b]0;owned\x07\x1b[2J[red]bold[/red]\nsecond line")
        await pilot.press("enter")
        await app.see("state      fresh")
        assert r"key        \x1b]0;owned\x07\x1b[2J[red]bold[/red]\nsecond line" in text(app)
        assert "tags       [bold]tag, plain" in text(app)
        assert "\x1b" not in text(app)
        assert "\x07" not in text(app)
