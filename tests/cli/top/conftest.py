"""``cenote top`` before a real server with real traffic."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from cenote.cli.client import CenoteClient
from cenote.cli.top.app import TopApp

PATIENCE = 60.0

# Two services are read all the time; one key would like to steer the terminal.
TRAFFIC = r"""
import itertools
import os
import threading

from cenote import CacheManager

HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]bold[/red]\nsecond line"
caches = CacheManager()
books, shop = caches.service("books", max_entries=1000), caches.service("shop")
for number in range(int(os.environ.get("MORE", "0"))):
    caches.service(f"more{number:04}")
shop.set(HOSTILE, 1, tags=["[bold]tag", "plain"])
pace = threading.Event()


@books.memoize(tags=["novels"])
def title(number):
    return f"Title {number}"


def read():
    for number in itertools.count():
        title(number % 20)
        shop.get("nothing")
        if number % 10 == 0:
            pace.wait(0.02)


threading.Thread(target=read, daemon=True).start()
"""


@pytest.fixture
def busy(host, tmp_path):
    """Start a server whose caches are read all the time."""
    (tmp_path / "traffic.py").write_text(TRAFFIC)

    def begin(*arguments, more=0, **options):
        env = {"MORE": str(more)} | options.pop("env", {})
        return host("--app", "traffic:caches", *arguments, cwd=str(tmp_path), env=env, **options)

    return begin


def screen_of(app):
    """The lines of the screen, as they would be seen."""
    strips = app.screen._compositor.render_strips()
    return [strip.text.rstrip() for strip in strips]


async def until(pilot, condition):
    """Let the application run until something is so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if condition():
                    return
            except LookupError:
                pass
            await pilot.pause(0.02)


@asynccontextmanager
async def looking(url, token=None, size=(80, 24)):
    """Run ``cenote top`` without a terminal; yields the application, its pilot, and a wait for a text."""
    with CenoteClient(url, token) as client, CenoteClient(url, token, 60) as patient:
        app = TopApp(client, patient)
        async with app.run_test(size=size) as pilot:

            async def see(text):
                try:
                    await until(pilot, lambda: text in "\n".join(screen_of(app)))
                except TimeoutError:
                    raise AssertionError(text + "\n" + "\n".join(screen_of(app))) from None

            app.see = see
            yield app, pilot


@pytest.fixture
def top():
    return looking
