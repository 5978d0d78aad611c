"""The clear dialog: preview, confirmation, receipt and recovery, in a real browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect
from tests.waiting import wait_until

from .conftest import served
from .test_axe import judge

pytestmark = pytest.mark.long

ENTRIES = re.compile(r"^Clear [\d,]+ entr(y|ies)$")


def open_dialog(page, name="books"):
    page.get_by_role("button", name=f"Clear {name}…").click()
    return page.get_by_role("dialog", name=f"Clear {name}")


def act(dialog):
    return dialog.locator("footer button.danger")


def described(dialog, until):
    """Return what the chart of a recovery says in words, once that is in it."""
    chart = dialog.locator(".recovery .plot")
    expect(chart).to_have_attribute("aria-label", re.compile(until))
    return chart.get_attribute("aria-label")


def press_until(page, key, focused):
    """Press a key until something has the focus."""
    for _ in range(30):
        if focused.evaluate("each => each === document.activeElement"):
            return
        page.keyboard.press(key)
    expect(focused).to_be_focused()


def asks_for_a_preview_at(pace):
    """Whether a request asks what a clear would do whose refill has this pace: one goes out at each change."""
    refill = {"ratePerSecond": pace}
    return lambda request: request.url.endswith("/clear/preview") and request.post_data_json.get("refill") == refill


def test_a_whole_cache_is_cleared_only_when_its_preview_was_seen_and_its_name_typed(shop, visit):
    shop.until_read("prices")
    shop.until_foretold("prices")
    page = visit(shop)
    dialog = open_dialog(page, "prices")
    expect(act(dialog)).to_have_text(ENTRIES)
    expect(dialog.locator(".preview .facts")).to_contain_text("Loaded again")
    expect(dialog.locator(".preview .hot li").first).to_contain_text("lookup(")
    expect(dialog.locator(".preview canvas")).to_be_visible()
    expect(act(dialog)).to_be_disabled()
    dialog.get_by_label("Type prices to confirm").fill("price")
    expect(act(dialog)).to_be_disabled()
    dialog.get_by_label("Type prices to confirm").fill("prices")
    expect(act(dialog)).to_be_enabled()
    dialog.get_by_label("Reason, for the audit trail").fill("<i>wrong</i> prices")
    with page.expect_request(lambda request: request.url.endswith("/cache/clear")) as sent:
        act(dialog).click()
    assert sent.value.post_data_json["serviceName"] == "prices"
    assert sent.value.post_data_json["mode"] == "hard"
    expect(dialog.locator(".outcome.good")).to_have_text("Successfully cleared cache for service: prices")
    expect(dialog.locator(".receipt .facts")).to_contain_text("process")
    expect(dialog.locator(".members li")).to_contain_text(["acknowledged"])
    expect(dialog.get_by_role("heading", name="Recovery")).to_be_visible()
    # What came is drawn and told beside what was predicted.
    expect(dialog.locator(".recovery canvas")).to_be_visible()
    assert re.search(r"actual [\d.]+%.* predicted [\d.]+%", described(dialog, r"actual \d"))
    time, loads = r"[\d.,]+ (ms|s|min)", r"[\d,]+"
    for name, predicted, actual in (
        ("Hit rate 90% back", rf"^({time}|not soon)$", rf"^({time}|not yet)$"),
        ("Load time paid", rf"^{time}$", rf"^{time}$"),
        ("Loads", rf"^{loads}$", rf"^{loads}$"),
    ):
        cells = dialog.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name)).locator("td")
        expect(cells.first).to_have_text(re.compile(predicted))
        expect(cells.last).to_have_text(re.compile(actual))
    expect(cells.last).not_to_have_text("0")
    dialog.get_by_role("button", name="Done").click()
    page.get_by_role("link", name="Audit trail").click()
    expect(page.locator("q", has_text="<i>wrong</i> prices")).to_be_visible()


def test_the_global_cache_is_cleared_with_the_keyboard_alone(shop, visit):
    shop.put("greeting")
    page = visit(shop, "#/global")
    press_until(page, "Tab", page.get_by_role("button", name="Clear…"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Clear global cache")
    press_until(page, "Tab", dialog.get_by_label("Type global to confirm"))
    page.keyboard.type("globa")
    expect(dialog.locator(".preview")).not_to_have_attribute("aria-busy", "true")
    expect(act(dialog)).to_be_disabled()
    page.keyboard.type("l")
    expect(act(dialog)).to_be_enabled()
    page.keyboard.press("Enter")
    expect(dialog.locator(".outcome.good")).to_be_focused()
    press_until(page, "Tab", dialog.get_by_role("button", name="Done"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert shop.http.get("/api/system/cache/status").json()["globalCacheSize"] == 0


def test_everything_is_cleared_when_the_word_is_typed(shop, visit):
    page = visit(shop)
    page.get_by_role("button", name="Clear everything…").click()
    dialog = page.get_by_role("dialog", name="Clear everything")
    expect(act(dialog)).to_have_text(ENTRIES)
    expect(dialog.get_by_label("The whole cache")).to_have_count(0)
    dialog.get_by_label("Type everything to confirm").fill("everything")
    with page.expect_request(re.compile("/performance/clear-cache$")) as sent:
        act(dialog).click()
    assert "serviceName" not in sent.value.post_data_json
    expect(dialog.locator(".outcome.good")).to_be_visible()
    assert shop.http.get("/api/system/cache/status").json()["globalCacheSize"] == 0


@pytest.mark.parametrize(
    ("way", "text", "label", "asked"),
    [
        ("Tags", "maps, charts", "Tags, between commas", {"tags": ["maps", "charts"]}),
        ("Prefix", "atlas:", "Prefix", {"prefix": "atlas:"}),
    ],
)
def test_a_part_is_cleared_without_typing_and_nothing_else_goes(shop, visit, way, text, label, asked):
    shop.put("atlas:1", "books", ["maps"])
    shop.put("atlas:2", "books", ["charts"])
    page = visit(shop)
    dialog = open_dialog(page)
    dialog.get_by_role("radio", name=way).check()
    expect(dialog.locator(".preview .verdict")).to_have_text(re.compile("to see what it covers"))
    expect(act(dialog)).to_be_disabled()
    dialog.get_by_role("textbox", name=label).fill(text)
    expect(act(dialog)).to_have_text("Clear 2 entries")
    expect(dialog.get_by_label("Type books to confirm")).to_be_hidden()
    expect(dialog.locator(".sample")).to_contain_text("atlas:")
    with page.expect_request(lambda request: request.url.endswith("/cache/clear")) as sent:
        act(dialog).click()
    assert {name: sent.value.post_data_json.get(name) for name in asked} == asked
    expect(dialog.locator(".outcome.good")).to_be_visible()
    expect(dialog.locator(".receipt .facts")).to_contain_text(f"hard, {way.lower()}")
    missing = shop.http.get("/api/system/cache/entries/atlas:1", params={"serviceName": "books"})
    assert missing.status_code == 404
    assert shop.count("books") > 10


def test_a_soft_clear_marks_entries_stale(shop, visit):
    shop.put("atlas:3", "books", ["maps"])
    page = visit(shop, "#/service/books")
    page.get_by_role("button", name="Clear…").click()
    dialog = page.get_by_role("dialog", name="Clear books")
    dialog.get_by_role("radio", name="Soft").check()
    expect(dialog.get_by_role("checkbox", name="Refill at a pace")).to_be_disabled()
    dialog.get_by_role("radio", name="Tags").check()
    dialog.get_by_role("textbox", name="Tags, between commas").fill("maps")
    expect(act(dialog)).to_have_text("Mark 1 entry stale")
    act(dialog).click()
    expect(dialog.locator(".outcome.good")).to_be_visible()
    explained = shop.http.get("/api/system/cache/explain", params={"serviceName": "books", "key": "atlas:3"}).json()
    assert explained["state"] == "stale"


def test_what_is_changed_after_the_preview_must_be_looked_at_again(shop, visit):
    page = visit(shop)
    dialog = open_dialog(page)
    dialog.get_by_label("Type books to confirm").fill("books")
    expect(act(dialog)).to_be_enabled()
    held = []
    page.route("**/clear/preview", lambda route: held.append(route))  # noqa: PLW0108  # a built-in cannot be asked for its parameters
    with page.expect_request("**/clear/preview"):
        dialog.get_by_role("radio", name="Soft").check()
    expect(act(dialog)).to_be_disabled()
    expect(dialog.locator(".preview")).to_have_attribute("aria-busy", "true")
    held[0].continue_()
    expect(act(dialog)).to_have_text(re.compile("^Mark .* stale$"))
    expect(act(dialog)).to_be_enabled()


def test_esc_closes_the_dialog_and_tab_stays_in_it(shop, visit):
    page = visit(shop)
    button = page.get_by_role("button", name="Clear books…")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Clear books")
    expect(dialog).to_be_visible()
    expect(act(dialog)).to_have_text(ENTRIES)
    inside = "document.querySelector('dialog').contains(document.activeElement)"
    for key in ("Tab", "Shift+Tab"):
        for _ in range(14):
            page.keyboard.press(key)
            assert page.evaluate(inside)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()


def test_a_clear_that_cannot_keep_its_promise_says_what_it_reached(visit, allow, tmp_path):
    allow("503")
    shared = tmp_path / "shared"
    shared.mkdir(0o700)
    with served("shop", url=f"memory://{shared}") as server:
        page = visit(server)
        dialog = open_dialog(page)
        dialog.get_by_label("Type books to confirm").fill("books")
        expect(act(dialog)).to_be_enabled()
        # Other processes cannot learn of anything any more, and no other directory can take its place.
        shared.rename(tmp_path / "elsewhere")
        shared.touch()
        act(dialog).click()
        expect(dialog.locator(".outcome.bad")).to_be_visible()
        expect(dialog).to_contain_text("The promise was not kept everywhere")
        expect(dialog.locator(".receipt .facts")).to_contain_text("process")
        judge(page, "failed clear")
        page.close()


def test_an_answer_that_never_came_is_not_called_a_success(shop, visit, allow):
    allow("net::ERR")
    page = visit(shop)
    dialog = open_dialog(page)
    dialog.get_by_label("Type books to confirm").fill("books")
    expect(act(dialog)).to_be_enabled()
    page.route("**/cache/clear", lambda route: route.abort())
    act(dialog).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Whether it was cleared is not known")
    expect(act(dialog)).to_be_visible()


def test_a_receipt_has_an_address_of_its_own(shop, visit, allow):
    allow("404")
    answer = shop.http.post("/api/system/cache/clear", json={"serviceName": "books", "reason": "<u>night</u>"}).json()
    page = visit(shop, f"#/clear/{answer['clearId']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("A clear")
    expect(page.locator(".outcome.good")).to_be_visible()
    expect(page.locator(".receipt .facts")).to_contain_text("<u>night</u>")
    expect(page.locator(".recovery canvas")).to_be_visible()
    page.goto(f"{shop.url}/#/clear/{'0' * 32}")
    expect(page.get_by_text("knows of no such clear")).to_be_visible()


def test_the_audit_trail_is_filtered_and_links_to_receipts(shop, visit):
    shop.http.post("/api/system/cache/clear", json={"serviceName": "books", "reason": "deploy 17"})
    shop.http.request("DELETE", "/api/system/cache/invalidate", params={"key": "nothing", "serviceName": "prices"})
    page = visit(shop, "#/audit")
    lines = page.locator("tbody tr")
    expect(lines.first).to_contain_text("nothing")
    page.get_by_label("Text").fill("deploy 17")
    expect(lines).to_have_count(1)
    expect(page.locator(".found")).to_have_text("1 event")
    page.get_by_label("Text").fill("")
    page.get_by_label("Action").select_option("invalidate")
    expect(lines.first).to_contain_text("invalidate")
    expect(page.get_by_role("cell", name="clear", exact=True)).to_have_count(0)
    page.get_by_label("Service").fill("prices")
    expect(page.get_by_role("link", name="books")).to_have_count(0)
    page.get_by_label("Outcome").select_option("error")
    expect(page.locator(".found")).to_have_text("Nothing like this.")
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Service").fill("books")
    page.get_by_label("Action").select_option("clear")
    page.get_by_label("Time").select_option("Last hour")
    lines.first.get_by_role("link", name=re.compile("^Receipt")).click()
    expect(page.locator(".receipt")).to_be_visible()


def test_the_audit_trail_leaves_out_what_is_older_than_an_hour_and_shows_more_when_asked(shop, visit):
    def invalidate(key):
        shop.http.request("DELETE", "/api/system/cache/invalidate", params={"key": key, "serviceName": "prices"})
        (event,) = shop.http.get("/api/system/cache/events", params={"order": "desc", "limit": 1}).json()["events"]
        return datetime.fromisoformat(event["timestamp"])

    times = [invalidate(f"{number}.key") for number in range(51)]
    # Where the page is to tell them apart: its clock counts milliseconds.
    wait_until(lambda: datetime.now(UTC) > times[-1] + timedelta(milliseconds=10))
    times += [invalidate(f"{number}.key") for number in range(51, 102)]
    page = visit(shop, "#/audit")
    lines = page.locator("tbody tr")
    expect(lines).to_have_count(100)
    page.get_by_role("button", name="Show more").click()
    expect(lines.nth(101)).to_be_visible()
    # An hour after a moment in the midst of them.
    page.clock.set_fixed_time(times[50] + (times[51] - times[50]) / 2 + timedelta(hours=1))
    page.get_by_label("Time").select_option("Last hour")
    expect(lines).to_have_count(51)
    expect(lines.last).to_contain_text("51.key")


def test_on_a_phone_a_cache_can_be_cleared_too(shop, visit):
    page = visit(shop, width=360)
    dialog = open_dialog(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # A dialog does not count there.
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert dialog.evaluate("each => each.scrollWidth <= each.clientWidth")
    dialog.get_by_label("Type books to confirm").fill("books")
    expect(act(dialog)).to_be_enabled()
    act(dialog).click()
    expect(dialog.locator(".outcome.good")).to_be_visible()


def test_a_clear_can_be_refilled_at_a_pace_which_an_operator_may_end(shop, visit):
    page = visit(shop, "#/service/books")
    page.get_by_role("button", name="Clear…").click()
    dialog = page.get_by_role("dialog", name="Clear books")
    dialog.get_by_role("checkbox", name="Refill at a pace").check()
    dialog.get_by_label("loads per second").fill("0.5")
    dialog.get_by_label("Type books to confirm").fill("books")
    expect(act(dialog)).to_be_enabled()
    with page.expect_request(lambda request: request.url.endswith("/cache/clear")) as sent:
        act(dialog).click()
    assert sent.value.post_data_json["refill"] == {"ratePerSecond": 0.5}
    expect(dialog.locator(".outcome.good")).to_be_visible()
    expect(dialog.locator(".recovery")).to_contain_text("Refilling at 0.5/s")
    judge(page, "paced receipt")
    stop = dialog.get_by_role("button", name="Stop pacing the refill")
    stop.click()
    expect(stop).to_be_hidden()
    expect(dialog.locator(".recovery")).to_contain_text("paced refill is over")


def test_everything_can_be_refilled_at_a_pace_which_an_operator_may_end(shop, visit):
    page = visit(shop)
    page.get_by_role("button", name="Clear everything…").click()
    dialog = page.get_by_role("dialog", name="Clear everything")
    dialog.get_by_role("checkbox", name="Refill at a pace").check()
    with page.expect_request(asks_for_a_preview_at(0.5)):
        dialog.get_by_label("loads per second").fill("0.5")
    dialog.get_by_label("Type everything to confirm").fill("everything")
    expect(act(dialog)).to_be_enabled()
    with page.expect_request(re.compile("/performance/clear-cache$")) as sent:
        act(dialog).click()
    assert sent.value.post_data_json["refill"] == {"ratePerSecond": 0.5}
    expect(dialog.locator(".outcome.good")).to_be_visible()
    expect(dialog.locator(".recovery")).to_contain_text(re.compile(r"Refilling at 0\.5/s each in \d+ caches"))
    stop = dialog.get_by_role("button", name="Stop pacing the refill")
    with page.expect_response(re.compile("/cache/refill\\?all=true$")) as answer:
        stop.click()
    assert answer.value.ok
    expect(stop).to_be_hidden()
    expect(dialog.locator(".recovery")).to_contain_text("paced refill is over")
    rows = shop.http.get("/api/system/cache/overview", params={"sparklines": False}).json()["caches"]
    assert "running" not in {row["refill"]["state"] for row in rows if row["refill"]}


def test_behind_a_soft_clear_what_is_served_stale_is_counted(shop, visit):
    page = visit(shop)
    dialog = open_dialog(page)
    dialog.get_by_role("radio", name="Soft").check()
    dialog.get_by_label("Type books to confirm").fill("books")
    expect(act(dialog)).to_have_text(re.compile("^Mark .* stale$"))
    expect(dialog.locator(".preview .verdict")).to_have_text(re.compile("^Would mark .* entries stale"))
    expect(act(dialog)).to_be_enabled()
    act(dialog).click()
    expect(dialog.locator(".outcome.good")).to_be_visible()
    stale = dialog.locator(".compare tr", has_text="Stale values served").locator("td").last
    expect(stale).to_have_text(re.compile(r"^[\d,]+$"))


def test_a_preview_says_why_nothing_can_be_predicted(shop, visit):
    shop.put("k", "quiet")
    page = visit(shop)
    dialog = open_dialog(page, "quiet")
    expect(dialog.locator(".basis")).to_have_text("Nothing can be predicted yet: nothing was read in the last minute.")
    expect(dialog.locator(".preview .facts")).to_contain_text("not known yet")
