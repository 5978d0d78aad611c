"""News: the stream, and what happens when it breaks off."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import Server, served

pytestmark = pytest.mark.long


@pytest.fixture
def fragile():
    server = Server("shop")
    yield server
    server.stop()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_after_a_restart_the_page_goes_on_by_itself(fragile, visit, allow, kill):
    allow("net::ERR|Failed to load resource")
    page = visit(fragile)
    status = page.locator("#status")
    expect(status).to_have_text("live")
    fragile.stop(kill=kill)
    expect(status).to_have_text("reconnecting")
    expect(page.locator(".rows .name").first).to_be_visible()
    fragile.start()
    fragile.http.put("/api/system/cache/entries/k", params={"serviceName": "newcomer"}, json={"value": 1})
    expect(status).to_have_text("live")
    expect(page.get_by_role("link", name="newcomer")).to_be_visible()
    reads = page.locator(".tile", has_text="Reads").locator(".hint")
    before = reads.text_content()
    expect(reads).not_to_have_text(before)


def test_when_all_streams_are_taken_the_page_asks_instead(visit, allow):
    allow("503")
    with served("shop", max_streams="0") as server:
        page = visit(server)
        expect(page.locator("#status")).to_have_text("every 2 s")
        reads = page.locator(".tile", has_text="Reads").locator(".hint")
        before = reads.text_content()
        for _ in range(2):
            # Without sparklines, which the page asks for now and then in any case.
            with page.expect_response(lambda answer: "sparklines=false" in answer.url):
                pass
        expect(reads).not_to_have_text(before)
        page.close()


def test_a_stream_that_ends_as_planned_is_opened_again(visit):
    with served("shop", stream_seconds="1") as server:
        page = visit(server)
        expect(page.locator("#status")).to_have_text("live")
        with page.expect_request(lambda request: "/cache/live" in request.url):
            pass
        expect(page.locator("#status")).to_have_text("live")
        page.close()


def test_somebody_elses_clear_is_told_and_shown(shop, visit):
    page = visit(shop)
    expect(page.locator("#status")).to_have_text("live")
    answer = shop.http.post("/api/system/cache/clear", json={"serviceName": "books"}).json()
    note = page.locator(".note", has_text="books was cleared")
    expect(note).to_be_visible()
    note.get_by_role("link").click()
    expect(page.locator(".receipt")).to_contain_text(answer["clearId"])


def test_a_new_service_appears_by_itself(shop, visit):
    page = visit(shop)
    expect(page.locator("#status")).to_have_text("live")
    shop.put("k", "latecomer")
    expect(page.get_by_role("link", name="latecomer")).to_be_visible()
