"""The page below a prefix, and as a part of somebody's own app, in a real browser."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from cenote import CacheManager
from cenote.control import Settings, create_app
from cenote.integrations.fastapi import cache_router

from .conftest import client_of

pytestmark = pytest.mark.long


def mounted(caches):
    app = FastAPI()
    app.mount("/ops", create_app(caches, Settings()))
    return app


def routed(caches):
    app = FastAPI()
    app.include_router(cache_router(caches, Settings(), page="/in/sight/"), prefix="/ops")
    return app


@pytest.mark.parametrize(("make", "place"), [(mounted, "ops/"), (mounted, "ops"), (routed, "ops/in/sight/")])
def test_the_page_finds_its_files_and_its_api_wherever_it_is(visit, make, place):
    with CacheManager() as caches:
        caches.service("books").set("dune", 1965)
        with client_of(make(caches)) as client:
            page = visit(SimpleNamespace(url=str(client.base_url).rstrip("/")), place)
            expect(page.locator("#status")).to_have_text("live")
            page.get_by_role("link", name="books").click()
            expect(page.locator(".entries tbody th")).to_have_text("dune")
            expect(page.locator(".options dt").first).to_be_visible()
            page.context.close()
