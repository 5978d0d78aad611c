"""An invalidation that returns holds on every machine."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

WAYS = {
    "clear": "cache.clear()",
    "clear_all": "caches.clear_all()",
    "key": "cache.delete('k')",
    "tags": "cache.invalidate_tags('t')",
    "prefix": "cache.clear(prefix='k')",
}
READ = "cache.get('k')"


@pytest.mark.parametrize("way", WAYS)
def test_an_invalidation_holds_on_another_machine_when_it_returns(two, way):
    one, other = two
    one.do(WAYS[way])
    assert other.ask(READ) is None
    assert one.ask(READ) is None


@pytest.mark.parametrize("way", WAYS)
def test_a_load_in_flight_on_another_machine_publishes_nothing_from_before(two, way):
    one, other = two
    other.do("cache.delete('k')")
    other.tell(
        """
        def load():
            connection.send("loading")
            connection.recv()
            return "old"
        cache.get_or_load("k", load, tags=["t"])
        """
    )
    assert other.receive() == "loading"
    one.do(WAYS[way])
    other.send("go on")
    other.answer()
    assert other.ask(READ) is None
    assert one.ask(READ) is None


def test_a_soft_clear_makes_entries_stale_on_every_machine(two):
    one, other = two
    assert one.ask("cache.clear(mode='soft').entries_cleared") == 1
    assert other.ask("cache.get_or_load('k', lambda: 'new')") == "new"


def test_the_register_of_clears_hears_of_every_machine_once_before_the_clear_is_done(two):
    one, _other = two
    one.do("heard = []")
    one.do("caches.audit.register.subscribe(lambda news: heard.append((news.kind, news.member and news.member.name)))")
    one.do("result = cache.clear()")
    heard = one.ask("heard")
    assert (heard[0][0], heard[-1][0]) == ("begun", "done")
    told = [name for kind, name in heard if kind == "acknowledged"]
    assert sorted(told) == sorted(one.ask("result.acknowledged"))
    assert len(told) == 2
    assert sorted(one.ask("caches.machines()")) == sorted(told)


def test_a_clear_says_what_it_took_and_who_acknowledged(two):
    one, _ = two
    one.do("cache.set('other', 1); result = cache.clear()")
    assert one.ask("result.level") == "network"
    assert one.ask("result.entries_cleared") == 2
    assert sorted(one.ask("result.cleared_items")) == ["k", "other"]
    assert one.ask("result.count_exact")
    assert len(one.ask("result.acknowledged")) == 2
    assert one.ask("result.lapsed") == ()


def test_a_set_is_seen_by_other_machines_before_a_lease_is_over(two, site):
    one, other = two
    one.do("cache.set('k', 'new')")
    other.do(
        f"""
        end = now() + {site.lease * 1e9}
        while cache.get('k') == 'old' and now() < end:
            pass
        """
    )
    assert other.ask(READ) == "new"


def test_a_load_that_began_before_a_set_does_not_replace_it(two, site):
    one, other = two
    other.do("cache.delete('k')")
    other.tell(
        """
        def load():
            connection.send("loading")
            connection.recv()
            return "older"
        cache.get_or_load("k", load)
        """
    )
    assert other.receive() == "loading"
    one.do("cache.set('k', 'newer')")
    other.send("go on")
    other.answer()
    site.reads(one, "newer")
    site.reads(other, "newer")


def test_copies_in_memory_are_served_without_the_server(site, server):
    site.lease = 4.0
    one = site.process("a")
    one.do("cache.set('near', 1)")
    wait_until(lambda: one.ask("cache.get('near') == 1 and 'near' in cache._core.state.tables[0]"))
    server.pause()
    try:
        one.do("begin = now(); found = cache.get('near'); took = now() - begin")
        assert one.ask("caches._log.holds_lease")
        assert one.ask("found") == 1
        assert one.ask("took") < 900_000_000
    finally:
        server.resume()


def test_entries_survive_the_processes_that_loaded_them(two, site):
    one, other = two
    for process in (one, other):
        process.do("caches.close()")
    site.reads(site.process("c"), "old")


def test_an_entry_loaded_after_tags_were_invalidated_is_served_again(two, site):
    one, other = two
    one.do("cache.invalidate_tags('t')")
    assert one.ask("cache.get_or_load('k', lambda: 'new', tags=['t'])") == "new"
    site.reads(other, "new")


def test_namespaces_whose_names_begin_alike_do_not_meet(site, server):
    one = site.process("a", "users = CacheManager(caches.url, namespace='users').service('shop')")
    one.do("user = CacheManager(caches.url, namespace='user').service('shop')")
    one.do("users.set('k', 1); user.set('k', 2)")
    with server.client() as client:
        client.set("cenote:foreign", "theirs")
        one.do("user.clear()")
        one.do("while users.get('k') != 1: pass")
        assert client.get("cenote:foreign") == b"theirs"


def test_a_cleared_generation_is_given_back_to_the_server(two, server, site):
    one, _ = two
    one.do("[cache.set(f'many{n}', 'x' * 100) for n in range(500)]; cache.clear()")
    with server.client() as client:
        wait_until(lambda: not client.exists("cenote:{cenote}:garbage"))
        assert [key for key in client.keys("*:v:*") if b"many" in key] == []
