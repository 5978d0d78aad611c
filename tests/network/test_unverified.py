"""With ``serve_unverified`` copies outlive the lease while the server is away; no clear that succeeds is broken."""

from __future__ import annotations

import time

import pytest
from tests.waiting import wait_until

from cenote import CacheManager, ClearFailedError, ConfigurationError

SECONDS = 4.0
ON = f"&serve_unverified={SECONDS}"

pytestmark = pytest.mark.servers("valkey")

SETUP = """
import asyncio, threading
from cenote.clock import lease_clock

def fail(*keys):
    raise OSError("no luck")

async def afail(*keys):
    raise OSError("no luck")

broken = False

@cache.memoize(name="doubled")
def doubled(number):
    return fail() if broken else 2 * number

@cache.memoize(name="adoubled")
async def adoubled(number):
    return fail() if broken else 2 * number

def over(seconds):
    # Whether the lease has been over for so long.
    return lease_clock() > caches._log.membership.deadline[0] + seconds
"""

READS = {
    "get": ("cache.get('k')", "old"),
    "get_many": ("cache.get_many(['k', 'nothing'])", {"k": "old"}),
    "aget": ("asyncio.run(cache.aget('k'))", "old"),
    "get_or_load": ("cache.get_or_load('k', fail)", "old"),
    "aget_or_load": ("asyncio.run(cache.aget_or_load('k', afail))", "old"),
    "get_or_load_many": ("cache.get_or_load_many(['k'], fail)", {"k": "old"}),
    "aget_or_load_many": ("asyncio.run(cache.aget_or_load_many(['k'], afail))", {"k": "old"}),
    "memoize": ("doubled(4)", 8),
    "amemoize": ("asyncio.run(adoubled(4))", 8),
}


def start(site, machine="a", query=ON, **how):
    """Start a process with copies in memory."""
    found = site.process(machine, SETUP, query=query, **how)
    site.leased(found)
    wait_until(lambda: found.ask("caches._log.ledger.members()[1] != []"))
    site.spread(found)
    found.do("assert [(doubled(4), asyncio.run(adoubled(4))) for _ in range(3)] == 3 * [(8, 8)]; broken = True")
    found.do("assert len(cache._core.state.store) == 3")
    return found


def test_copies_are_served_while_the_server_is_out_of_reach(site, server):
    one = start(site, query="&serve_unverified=60")
    server.pause()
    try:
        wait_until(lambda: one.ask("over(0)"))
        assert {read: one.ask(call) for read, (call, _) in READS.items()} == {
            read: value for read, (_, value) in READS.items()
        }
        assert one.ask("cache.get_or_load('k', lambda: 'loaded')") == "loaded"
        assert one.ask("cache.get('nothing')") is None
    finally:
        server.resume()
    site.leased(one)
    site.reads(one, "old")


def test_no_copy_is_served_when_the_time_is_over(site, server):
    one = start(site, query="&serve_unverified=0.3")
    server.pause()
    try:
        wait_until(lambda: one.ask("over(0.3)"))
        assert one.ask("cache.get('k')") is None
        with pytest.raises(OSError, match="no luck"):
            one.ask("cache.get_or_load('k', fail)")
    finally:
        server.resume()


def test_nothing_is_served_that_cannot_be_verified_when_it_was_not_asked_for(site, server):
    one = start(site, query="")
    server.pause()
    try:
        wait_until(lambda: one.ask("over(0)"))
        assert one.ask("cache.get('k')") is None
        for read in ("get_or_load", "memoize", "aget_or_load_many"):
            with pytest.raises(OSError, match="no luck"):
                one.ask(READS[read][0])
    finally:
        server.resume()


@pytest.mark.servers("valkey", "redis")
def test_what_this_machine_was_asked_to_forget_is_not_served(site, server):
    one = start(site)
    server.pause()
    try:
        wait_until(lambda: one.ask("over(0)"))
        assert one.ask("cache.get('k')") == "old"
        with pytest.raises(ClearFailedError, match="forgotten all"):
            one.do("cache.clear()")
        assert one.ask("cache.get('k')") is None
    finally:
        server.resume()


@pytest.mark.parametrize("change", ["cache.delete('k')", "cache.set('k', 'new')", "doubled.invalidate(4)"])
def test_what_this_process_failed_to_change_everywhere_is_not_served(site, server, change):
    one = start(site, query="&serve_unverified=60")
    server.pause()
    try:
        wait_until(lambda: one.ask("over(0)"))
        with pytest.raises(ClearFailedError, match="repeat it"):
            one.do(change)
        served = one.ask("cache.get('k'), cache.get('doubled(4)')")
        assert served == ((None, 8) if "'k'" in change else ("old", None))
    finally:
        server.resume()


def test_a_copy_that_was_over_before_is_not_served(site, server):
    one = start(site)
    one.do("cache.set('short', 1, ttl=0.3); assert [cache.get('short') for _ in range(3)] == [1, 1, 1]")
    server.pause()
    try:
        wait_until(lambda: one.ask("over(0)"))
        assert one.ask("cache.get('short')") is None
        assert one.ask("cache.get('k')") == "old"
    finally:
        server.resume()


@pytest.fixture
def pair(site):
    """A process here, and one on a machine that can be cut off, both with copies."""
    return start(site), start(site, "b", base=site.proxy("b").url)


def refused(process, call):
    """Have a process invalidate something, and return why that failed; "" when it succeeded."""
    try:
        process.do(call)
    except ClearFailedError as error:
        return str(error)
    return ""


def insist(process, call, said):
    """Have a process invalidate something until that succeeds; until then it must say this."""
    end = time.monotonic() + 4 * SECONDS
    while reason := refused(process, call):
        assert said in reason
        assert time.monotonic() < end


def mature(process):
    """Wait until a clear succeeds: a new log may have forgotten members that serve copies unverified."""
    insist(process, "cache.clear()", "may have forgotten")


CLEARS = {
    "clear": "cache.clear()",
    "clear_all": "caches.clear_all()",
    "delete": "cache.delete('k')",
    "tags": "cache.invalidate_tags('t')",
    "prefix": "cache.clear(prefix='k')",
}


@pytest.mark.parametrize("way", ["clear", *(pytest.param(way, marks=pytest.mark.long) for way in list(CLEARS)[1:])])
def test_an_invalidation_fails_as_long_as_a_machine_may_serve_older_copies_unverified(pair, site, way):
    one, other = pair
    mature(one)
    site.spread(one, other)
    site.proxy("b").hold()
    begin = time.monotonic()
    with pytest.raises(ClearFailedError, match="serve_unverified") as failed:
        one.do(CLEARS[way])
    assert failed.value.level == "machine"
    assert site.member("b") in str(failed.value)
    assert site.member("a") not in str(failed.value)
    # So it did right to fail.
    assert other.ask("(cache.get('k'), over(0), over(3.9))") == ("old", True, False)
    insist(one, CLEARS[way], site.member("b"))
    assert other.ask("cache.get('k')") is None
    assert time.monotonic() - begin > SECONDS


def test_a_clear_over_http_answers_503_and_says_which_machine_may_serve_older_copies(pair, site):
    one, other = pair
    mature(one)
    site.spread(one, other)
    site.proxy("b").hold()
    one.do(
        """
        import httpx
        from cenote.control import create_app

        async def post(path, **asked):
            transport = httpx.ASGITransport(create_app(caches), client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.post(path, **asked, timeout=60)

        answer = asyncio.run(post("/api/system/cache/clear", json={"serviceName": "shop"}))
        """
    )
    status, body = one.ask("(answer.status_code, answer.json())")
    assert (status, body["success"], body["level"]) == (503, False, "machine")
    assert site.member("b") in body["message"]
    assert "serve_unverified" in body["message"]
    assert other.ask("(cache.get('k'), over(3.9))") == ("old", False)


def test_a_machine_that_is_back_acknowledges_and_serves_nothing_older(pair, site):
    one, other = pair
    mature(one)
    site.spread(one, other)
    site.proxy("b").hold()
    with pytest.raises(ClearFailedError, match="serve_unverified"):
        one.do("cache.clear()")
    site.proxy("b").flow()
    site.leased(other)
    assert other.ask("cache.get('k')") is None
    assert one.ask("cache.clear().lapsed") == ()


def test_a_log_that_forgot_who_serves_copies_unverified_waits_for_them(pair, site, server):
    one, other = pair
    mature(one)
    site.spread(one, other)
    site.proxy("b").hold()
    wait_until(lambda: other.ask("over(0)"))
    with server.client() as client:
        client.flushall()
    with pytest.raises(ClearFailedError, match="may have forgotten"):
        one.do("cache.clear()")
    assert other.ask("(cache.get('k'), over(3.9))") == ("old", False)
    mature(one)
    assert other.ask("cache.get('k')") is None


def test_a_machine_that_serves_nothing_unverified_is_waited_for_no_longer_than_its_lease(site):
    one, other = start(site, query=""), start(site, "b", query="", base=site.proxy("b").url)
    site.ripen(one)
    site.proxy("b").hold()
    assert len(one.ask("cache.clear().lapsed")) == 1
    assert other.ask("cache.get('k')") is None


def test_a_member_that_died_is_forgotten_once_its_time_is_over_though_nobody_clears_again(pair, site):
    one, _ = pair
    mature(one)
    site.proxy("b").hold()
    with pytest.raises(ClearFailedError, match="serve_unverified"):
        one.do("cache.clear()")
    wait_until(lambda: one.ask("len(caches._log.ledger.members()[1])") == 1, 3 * SECONDS)
    assert one.ask("cache.clear().lapsed") == ()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("serve_unverified=60&validate=always", "does not go with"),
        ("serve_unverified=3601", "3600"),
        ("serve_unverified=-1", "serve_unverified"),
        ("serve_unverified=1&serve_unverified=2", "twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(kind, query, said):
    with pytest.raises(ConfigurationError, match=said):
        CacheManager(f"redis://127.0.0.1:1/0?{query}")
