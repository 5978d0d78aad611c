"""The overview and a service's page, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .conftest import served

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def tenants():
    with served("tenants") as server:
        yield server


def row(page, name):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_the_overview_shows_all_caches_and_their_figures_move_by_themselves(shop, visit):
    page = visit(shop)
    expect(page.locator("#status")).to_have_text("live")
    expect(row(page, "books")).to_be_visible()
    expect(row(page, "global cache")).to_be_visible()
    expect(row(page, "books").locator(".c-hit")).to_have_text(re.compile(r"^\d+(\.\d)?%$"))
    expect(row(page, "books").locator(".c-entries")).to_have_text(re.compile(r"^\d+ of 2K$"))
    expect(row(page, "books").locator(".c-bytes")).to_have_text(re.compile(r"^[\d.]+ (B|KB|kB)$"))
    expect(row(page, "books").locator(".c-evictions")).to_have_text("0")
    expect(row(page, "books").locator(".c-efficiency")).to_have_text(re.compile(r"^\d+(\.\d)?%$"))
    expect(row(page, "books").locator(".c-saved")).to_have_text(re.compile(r"^[\d.]+ (ms|s|min)$"))
    reads = page.locator(".tile", has_text="Reads").locator(".hint")
    before = reads.text_content()
    expect(reads).not_to_have_text(before)


def test_a_search_finds_caches_by_a_part_of_their_name_and_says_when_there_is_none(shop, visit):
    page = visit(shop)
    page.get_by_label("Find a cache").fill("OOK")
    expect(page.locator(".found")).to_have_text("1 found")
    expect(row(page, "books")).to_be_visible()
    expect(row(page, "prices")).to_have_count(0)
    page.get_by_label("Find a cache").fill("nothing of the kind")
    expect(page.get_by_text("No cache has this in its name.")).to_be_visible()


def test_headings_and_the_order_sort_the_table(shop, visit):
    page = visit(shop)
    names = page.locator(".rows .name")
    expect(names.first).to_have_text("global cache")
    page.get_by_role("button", name="Entries", exact=True).click()
    expect(page.get_by_role("columnheader", name="Entries")).to_have_attribute("aria-sort", "descending")
    expect(names.first).to_have_text("books")
    page.get_by_role("button", name="Entries", exact=True).click()
    expect(page.get_by_role("columnheader", name="Entries")).to_have_attribute("aria-sort", "ascending")
    expect(names.first).not_to_have_text("books")
    page.get_by_label("Order").select_option("Name")
    expect(names.first).to_have_text("global cache")


def test_of_thousands_of_caches_only_those_in_sight_are_in_the_page(tenants, visit):
    page = visit(tenants)
    expect(page.locator(".found")).to_have_text("2,001 caches")
    assert page.locator(".rows .row").count() < 60
    page.keyboard.press("End")
    expect(row(page, "tenant-1999")).to_be_in_viewport()
    assert page.locator(".rows .row").count() < 60
    expect(page.get_by_role("table", name="Caches")).to_have_attribute("aria-rowcount", "2002")
    page.get_by_label("Find a cache").fill("tenant-0777")
    expect(page.locator(".found")).to_have_text("1 found")
    row(page, "tenant-0777").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tenant-0777")


def test_a_service_has_charts_of_ten_minutes_and_of_a_day(shop, visit):
    page = visit(shop)
    row(page, "books").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("books")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page).to_have_title("books · Cenote")
    for title in ("Hit rate", "Reads and loads", "Load time", "Coalesced and stale"):
        expect(page.get_by_role("img", name=re.compile(f"^{title}"))).to_be_visible()
    expect(page.locator(".chart canvas")).to_have_count(4)
    expect(page.locator(".legend b").first).to_have_text(re.compile("%"))
    with page.expect_response(re.compile(r"/history\?.*range=24h")) as answer:
        page.get_by_role("button", name="24 h").click()
    assert answer.value.status == 200
    expect(page.get_by_role("button", name="24 h")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_service_shows_its_options_its_functions_and_its_entries_page_by_page(shop, visit):
    page = visit(shop, "#/service/books")
    expect(page.locator(".options dt", has_text=re.compile("^ttl$")).locator("+ dd")).to_have_text("300")
    expect(page.get_by_text("lookup", exact=True)).to_be_visible()
    lines = page.locator(".entries tbody tr")
    expect(lines).to_have_count(25)
    first = lines.first.locator("th").text_content()
    page.get_by_role("button", name="Next").click()
    expect(lines.first.locator("th")).not_to_have_text(first)
    page.get_by_role("button", name="Previous").click()
    expect(lines.first.locator("th")).to_have_text(first)
    page.get_by_label("Text to search entries for").fill("lookup(11")
    expect(lines.first.locator("th")).to_have_text("lookup(11)")
    page.get_by_label("Search by").select_option("has the tag")
    page.get_by_label("Text to search entries for").fill("shelf:3")
    expect(lines.first.locator(".tags")).to_have_text("shelf:3")
    page.get_by_label("Text to search entries for").fill("no such tag")
    expect(page.get_by_text("No entry like this.")).to_be_visible()


def test_a_key_is_explained_and_can_be_removed(shop, visit):
    shop.http.post("/api/system/cache/clear", json={"serviceName": "books"})
    shop.until_read("books")
    shop.put("atlas", "books", ["maps"])
    page = visit(shop, "#/service/books")
    button = page.get_by_role("button", name="Explain a key…")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="One key")
    # The page has the keyboard alone from here on.
    expect(dialog.get_by_label("Key in books")).to_be_focused()
    page.keyboard.type("lookup(1)")
    page.keyboard.press("Enter")
    expect(dialog.locator(".verdict .state")).to_have_text("fresh")
    time = r"[\d.,]+ (ms|s|min)"
    for name, told in (
        ("Loaded", r"^\d\d:\d\d(:\d\d)?$"),
        ("Age", rf"^{time}$"),
        ("Expires in", rf"^{time}$"),
        ("Ends in", rf"^{time}$"),
        ("Load time", r"^[\d.]+ ms$"),
        ("Reads", r"^≈[1-9]"),
        ("Birth", r"^record \d+$"),
        ("Tags", "^shelf:1$"),
    ):
        value = dialog.locator(".facts dt", has_text=re.compile(f"^{name}$")).locator("+ dd")
        expect(value).to_have_text(re.compile(told))
    expect(dialog).to_contain_text(re.compile("Last taken out by: .*127.0.0.1.* books"))
    dialog.get_by_label("Key in books").press("Control+a")
    page.keyboard.type("atlas")
    page.keyboard.press("Enter")
    expect(dialog.locator(".facts")).to_contain_text("maps")
    remove = dialog.get_by_role("button", name="Remove this entry")
    for _ in range(3):
        page.keyboard.press("Tab")
        if remove.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(dialog.locator(".verdict .state")).to_have_text("missing")
    expect(dialog).to_contain_text("Why it is missing")
    expect(dialog).to_contain_text("invalidated")
    expect(dialog.get_by_role("button", name="Remove this entry")).to_be_hidden()


def test_a_key_of_a_list_is_explained_when_it_is_chosen(shop, visit):
    page = visit(shop, "#/service/books")
    key = page.locator(".entries tbody button.key").first
    name = key.text_content()
    key.click()
    expect(page.get_by_role("dialog").get_by_label("Key in books")).to_have_value(name)
    expect(page.get_by_role("dialog").locator(".verdict .state")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(key).to_be_focused()


def test_a_hostile_key_or_address_stays_text(shop, visit, allow):
    allow("404")
    page = visit(shop, "#/service/<b>bold</b>")
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>bold</b>")
    page.goto(f"{shop.url}/#/global")
    hostile = page.locator(".entries tbody tr", has_text="onerror")
    expect(hostile.locator("th")).to_contain_text("<img src=")
    hostile.get_by_role("button").click()
    expect(page.get_by_role("dialog").locator(".verdict .state")).to_have_text("fresh")
    expect(page.get_by_role("dialog").locator(".facts")).to_contain_text("<img src=")
    assert page.locator("main img, dialog img, .notes img, h1 b").count() == 0
    expect(page).to_have_title("global cache · Cenote")


def test_a_service_that_there_is_not_is_told_so(shop, visit, allow):
    allow("404")
    page = visit(shop, "#/service/atlantis")
    expect(page.get_by_text("There is no such cache.")).to_be_visible()
    page.get_by_role("link", name="All caches").click()
    expect(row(page, "books")).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(shop, visit, width):
    page = visit(shop, width=width)
    expect(row(page, "books")).to_be_visible()
    for place, seen in (("", ".rows .name"), ("#/service/books", "canvas"), ("#/audit", "table")):
        page.goto(f"{shop.url}/{place}")
        expect(page.locator(seen).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place


@pytest.mark.parametrize(("place", "seen"), [("", ".rows .name"), ("#/service/books", ".entries tbody button")])
def test_what_arrives_moves_nothing_that_was_there(shop, visit, place, seen):
    page = visit(shop, place)
    page.add_init_script(
        "window.shifts = 0; const add = (each) => { window.shifts += each.value; };"
        "const watch = new PerformanceObserver((all) => all.getEntries().forEach(add));"
        "watch.observe({type: 'layout-shift', buffered: true});"
    )
    page.reload()
    expect(page.locator(seen).first).to_be_visible()
    expect(page.locator("#status")).to_have_text("live")
    assert page.evaluate("window.shifts") < 0.02
    page.evaluate("window.shifts = 0")
    held = []
    page.route("**/clear/preview", lambda route: held.append(route))  # noqa: PLW0108  # a built-in cannot be asked for its parameters
    with page.expect_request("**/clear/preview"):
        page.get_by_role("button", name=re.compile("^Clear( books)?…$")).click()
    parts = [page.locator(f"dialog {part}") for part in ("form", ".fields", ".preview .facts", "footer")]
    before = [part.bounding_box() for part in parts]
    held[0].continue_()
    expect(page.locator("dialog footer button.danger")).to_have_text(re.compile(r"^Clear [\d,]+ entr"))
    expect(page.locator("dialog .sample code").first).to_be_visible()
    assert [part.bounding_box() for part in parts] == before
    assert page.evaluate("window.shifts") < 0.02


def test_the_colours_follow_the_system_until_the_switch_says_otherwise(shop, visit):
    page = visit(shop, scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    switch = page.get_by_role("button", name=re.compile("^Colours"))
    expect(switch).to_have_attribute("title", "Colours: system")
    switch.click()
    expect(switch).to_have_attribute("title", "Colours: light")
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    expect(switch).to_have_attribute("title", "Colours: light")
    assert page.evaluate(background) == light
    switch.click()
    assert page.evaluate(background) == dark
    switch.click()
    expect(switch).to_have_attribute("title", "Colours: system")


def test_the_keyboard_reaches_the_content_and_every_row(shop, visit):
    page = visit(shop)
    expect(row(page, "books")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("button", name="Efficiency").focus()
    page.keyboard.press("Tab")
    # By the places that they have on the screen, which need not be those that they have in the document.
    first, second = (page.locator(f'.rows [aria-rowindex="{place}"]') for place in (2, 3))
    expect(first.locator(".name")).to_be_focused()
    page.keyboard.press("Tab")
    expect(first.locator(".c-do button")).to_be_focused()
    page.keyboard.press("Tab")
    expect(second.locator(".name")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_the_last_minutes_are_drawn_in_the_tiles_and_in_each_row(shop, visit):
    page = visit(shop)
    # A line of several points: the server takes one each ten seconds.
    drawn = re.compile(r"^M[\d.]+ [\d.]+(L[\d.]+ [\d.]+)+$")
    expect(row(page, "books").locator(".c-trend path.line")).to_have_attribute("d", drawn)
    expect(page.locator(".tile .spark path.line").first).to_have_attribute("d", drawn)
