"""Sign-in, and what a viewer sees, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .conftest import served

pytestmark = pytest.mark.long

OPERATOR = "the-operators-token"
VIEWER = "the-viewers-token"


@pytest.fixture(scope="module")
def guarded():
    with served("shop", token=OPERATOR, viewer_token=VIEWER) as server:
        yield server


def sign_in(page, token):
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_without_a_token_nothing_is_shown_but_the_sign_in(guarded, visit):
    page = visit(guarded, "#/service/books")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_focused()
    expect(page.locator("nav a")).to_have_count(0)
    assert "books" not in page.locator("main").inner_text()


def test_a_wrong_token_is_told_and_the_right_one_leads_where_one_wanted_to_go(guarded, visit, allow):
    allow("401")
    page = visit(guarded, "#/service/books")
    sign_in(page, "another")
    expect(page.get_by_role("alert")).to_have_text("This is not a token of this server.")
    sign_in(page, OPERATOR)
    expect(page.get_by_role("heading", level=1)).to_have_text("books")
    expect(page.get_by_role("button", name="Clear…")).to_be_visible()
    expect(page.locator(".role")).to_have_text("operator")


def test_the_token_is_kept_nowhere_that_a_script_can_read(guarded, visit):
    page = visit(guarded)
    sign_in(page, OPERATOR)
    expect(page.get_by_role("table", name="Caches")).to_be_visible()
    kept = page.evaluate("JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, location.href])")
    assert OPERATOR not in kept
    assert "cenote_session" not in kept
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("cenote_session", True, "Strict")
    assert OPERATOR not in cookie["value"]
    page.reload()
    expect(page.get_by_role("table", name="Caches")).to_be_visible()


def test_a_viewer_sees_everything_and_no_button_that_changes_something(guarded, visit):
    page = visit(guarded)
    sign_in(page, VIEWER)
    expect(page.locator(".rows .name").first).to_be_visible()
    expect(page.locator(".role")).to_have_text("viewer")
    change = page.get_by_role("button", name=re.compile("clear|remove", re.IGNORECASE))
    expect(change).to_have_count(0)
    for place, seen in (
        ("#/service/books", ".entries tbody button"),
        ("#/audit", "table"),
        ("#/global", ".entries tbody button"),
    ):
        page.goto(f"{guarded.url}/{place}")
        expect(page.locator(seen).first).to_be_visible()
        expect(change).to_have_count(0)
    page.locator(".entries tbody button").first.click()
    expect(page.get_by_role("dialog").locator(".verdict .state")).to_be_visible()
    expect(change).to_have_count(0)


def test_an_operator_clears_with_the_cookie_alone(guarded, visit):
    page = visit(guarded)
    sign_in(page, OPERATOR)
    page.get_by_role("button", name="Clear books…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type books to confirm").fill("books")
    dialog.get_by_role("button", name=re.compile("^Clear .* entr")).click()
    expect(dialog.locator(".outcome.good")).to_be_visible()
    expect(dialog.locator(".receipt .facts")).to_contain_text("session@127.0.0.1")


def test_signing_out_ends_the_session_and_shows_the_sign_in(guarded, visit):
    page = visit(guarded)
    sign_in(page, OPERATOR)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_has_ended_leads_to_the_sign_in_and_back(guarded, visit, allow):
    allow("401")
    page = visit(guarded, "#/audit")
    sign_in(page, OPERATOR)
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit trail")
    page.context.clear_cookies()
    page.evaluate("location.hash = '#/service/books'")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, OPERATOR)
    expect(page.get_by_role("heading", level=1)).to_have_text("books")


def test_without_tokens_there_is_no_sign_in_and_no_sign_out(shop, visit):
    page = visit(shop)
    expect(page.get_by_role("button", name="Clear everything…")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
