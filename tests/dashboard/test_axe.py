"""Every view, in both colour schemes, as axe-core judges it by WCAG 2.2 AA."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .conftest import served

pytestmark = pytest.mark.long

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def judge(page, view):
    found = Axe().run(page, options=RULES)
    broken = [
        f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]
    assert broken == [], view


@pytest.fixture(scope="module")
def guarded():
    with served("shop", token="the-operators-token") as server:
        yield server


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1280)])
def test_every_view_is_accessible(shop, guarded, visit, allow, scheme, width):
    allow("404")
    page = visit(shop, scheme=scheme, width=width)
    receipt = shop.http.post("/api/system/cache/clear", json={"serviceName": "prices"}).json()["clearId"]
    places = {
        "": ".rows .name",
        "#/service/books": ".chart canvas",
        "#/global": ".entries tbody button",
        "#/audit": "tbody tr",
        f"#/clear/{receipt}": ".recovery canvas",
        "#/service/atlantis": ".nothing",
    }
    for place, seen in places.items():
        page.goto(f"{shop.url}/{place}")
        expect(page.locator(seen).first).to_be_visible()
        judge(page, place)
        if scheme == "dark":
            page.set_viewport_size({"width": 360, "height": 800})
            judge(page, f"{place}, narrow")
            page.set_viewport_size({"width": width, "height": 800})

    page.goto(f"{shop.url}/#/")
    page.get_by_role("button", name="Clear books…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("footer button.danger")).to_have_text(re.compile(r"^Clear [\d,]+ entr"))
    judge(page, "preview")
    dialog.get_by_label("Type books to confirm").fill("books")
    dialog.locator("footer button.danger").click()
    expect(dialog.locator(".recovery canvas")).to_be_visible()
    judge(page, "receipt")
    page.keyboard.press("Escape")

    page.goto(f"{shop.url}/#/global")
    page.get_by_role("button", name="Explain a key…").click()
    page.get_by_label("Key in global cache").fill("greeting")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").locator(".verdict .state")).to_be_visible()
    judge(page, "explanation")

    page = visit(guarded, scheme=scheme, width=width)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    judge(page, "sign-in")


def test_rows_whose_caches_are_not_known_yet_are_accessible(shop, visit):
    page = visit(shop, "#/audit")
    held = []
    page.route("**/cache/overview?*", lambda route: held.append(route))  # noqa: PLW0108  # a built-in cannot be asked for its parameters
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(".rows .row.waiting")).to_have_count(8)
    judge(page, "waiting")
    for each in held:
        each.continue_()
    link = page.get_by_role("link", name="books")
    link.focus()
    expect(link).to_be_focused()
