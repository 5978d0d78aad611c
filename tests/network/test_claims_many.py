"""One load of a key among all machines, also where many are asked for at once."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

LOADER = """
import asyncio
def load(keys):
    connection.send(("loading", list(keys)))
    said = connection.recv()
    return {key: f"{said} {key}" for key in keys}
"""
WAYS = {
    "threads": "connection.send(('done', cache.get_or_load_many({}, load)))",
    "asyncio": "connection.send(('done', asyncio.run(cache.aget_or_load_many({}, load))))",
}

VALKEY = pytest.mark.parametrize("kind", ["valkey"])


@pytest.fixture
def pair(site):
    """A process on each of two machines, both with a lease."""
    found = [site.process(machine, LOADER) for machine in "ab"]
    for process in found:
        site.leased(process)
    return found


@pytest.fixture
def asked_again(server):
    """Return what waits until somebody who was refused a claim has asked for it again."""

    def count():
        with server.client() as client:
            return client.info("commandstats")["cmdstat_set"]["calls"]

    def wait():
        before = count()
        wait_until(lambda: count() >= before + 3)

    return wait


def ask(process, keys, way="threads"):
    """Have a process begin to get keys."""
    process.tell(WAYS[way].format(list(keys)))


def values(said, keys):
    return {key: f"{said} {key}" for key in keys}


@pytest.mark.parametrize("way", WAYS)
def test_a_loader_gets_only_the_keys_that_no_other_machine_loads(pair, site, asked_again, way):
    one, other = pair
    ask(one, "abc", way)
    assert one.receive() == ("loading", ["a", "b", "c"])
    ask(other, "bcd", way)
    assert other.receive() == ("loading", ["d"])
    other.send("other")
    asked_again()
    assert not other.answered
    one.send("one")
    assert one.receive() == ("done", values("one", "abc"))
    assert other.receive() == ("done", {**values("one", "bc"), **values("other", "d")})
    for process in pair:
        process.answer()


@VALKEY
@pytest.mark.parametrize("way", WAYS)
def test_what_a_caller_loads_itself_is_there_for_others_while_it_waits_for_the_rest(pair, site, asked_again, way):
    one, other = pair
    third = site.process("c", LOADER)
    site.leased(third)
    ask(one, "ab", way)
    assert one.receive() == ("loading", ["a", "b"])
    ask(other, "abc", way)
    assert other.receive() == ("loading", ["c"])
    other.send("other")
    asked_again()
    third.tell("connection.send(('done', cache.get_or_load('c', lambda: 'loaded twice')))")
    assert third.receive(15) == ("done", "other c")
    third.answer()
    one.send("one")
    for process in pair:
        process.receive()
        process.answer()


@VALKEY
@pytest.mark.parametrize("way", WAYS)
def test_the_keys_of_a_process_that_was_killed_are_loaded_by_another(pair, asked_again, way):
    one, other = pair
    ask(one, "ab", way)
    assert one.receive() == ("loading", ["a", "b"])
    ask(other, "abc", way)
    assert other.receive() == ("loading", ["c"])
    other.send("other")
    asked_again()
    one.kill()
    assert other.receive() == ("loading", ["a", "b"])
    other.send("other")
    assert other.receive() == ("done", values("other", "abc"))
    other.answer()


@VALKEY
@pytest.mark.parametrize("way", WAYS)
def test_keys_that_a_loader_left_out_are_loaded_by_whoever_waits_for_them(pair, asked_again, way):
    one, other = pair
    one.do("def load(keys): connection.send(('loading', keys)); connection.recv(); return {'a': 'only'}")
    ask(one, "ab", way)
    assert one.receive() == ("loading", ["a", "b"])
    ask(other, "ab", way)
    asked_again()
    one.send("go on")
    assert one.receive() == ("done", {"a": "only"})
    one.answer()
    assert other.receive() == ("loading", ["b"])
    other.send("other")
    assert other.receive() == ("done", {"a": "only", "b": "other b"})
    other.answer()


@VALKEY
@pytest.mark.parametrize("way", WAYS)
def test_a_loader_that_fails_lets_others_load_at_once(pair, asked_again, way):
    one, other = pair
    one.do(
        """
        def load(keys):
            connection.send(("loading", keys))
            raise OSError(connection.recv())
        """
    )
    ask(one, "ab", way)
    assert one.receive() == ("loading", ["a", "b"])
    ask(other, "ab", way)
    asked_again()
    one.send("no luck")
    with pytest.raises(OSError, match="no luck"):
        one.answer()
    found = other.receive(15)
    assert found[0] == "loading"
    loaded = list(found[1])
    other.send("other")
    if loaded != ["a", "b"]:  # the first claim was given back a moment before the second
        loaded += other.receive(15)[1]
        other.send("other")
    assert sorted(loaded) == ["a", "b"]
    assert other.receive() == ("done", values("other", "ab"))
    other.answer()


@VALKEY
def test_many_keys_and_one_key_wait_for_each_other(pair, asked_again):
    one, other = pair
    one.tell("connection.send(('done', cache.get_or_load('a', lambda: load(['a'])['a'])))")
    assert one.receive() == ("loading", ["a"])
    ask(other, "ab")
    assert other.receive() == ("loading", ["b"])
    other.send("other")
    asked_again()
    one.send("one")
    assert one.receive() == ("done", "one a")
    assert other.receive() == ("done", {"a": "one a", "b": "other b"})
    for process in pair:
        process.answer()


@VALKEY
@pytest.mark.parametrize("way", WAYS)
def test_loads_of_many_inside_of_loads_of_many_do_not_wait_in_a_circle_over_machines(pair, way):
    one, other = pair
    call = {
        "threads": "cache.get_or_load_many([needs], inner)",
        "asyncio": "await cache.aget_or_load_many([needs], inner)",
    }[way]
    for process, own, needs in ((one, "x", "y"), (other, "y", "x")):
        process.do(
            f"""
            needs = {needs!r}
            def inner(keys):
                connection.send(("inner", keys))
                connection.recv()
                return dict.fromkeys(keys, "inner")
            {"async " * (way == "asyncio")}def load(keys):
                connection.send(("loading", keys))
                connection.recv()
                found = {call}
                return {{key: found for key in keys}}
            """
        )
        ask(process, own, way)
        assert process.receive() == ("loading", [own])
    # Each is inside the load of its own key, and needs the other's: neither waits.
    for process in pair:
        process.send("go on")
    for process, needs in ((one, "y"), (other, "x")):
        assert process.receive(15) == ("inner", [needs])
    for process in pair:
        process.send("go on")
    for process, own, needs in ((one, "x", "y"), (other, "y", "x")):
        assert process.receive(15) == ("done", {own: {needs: "inner"}})
        process.answer()


@VALKEY
def test_a_loader_may_ask_for_a_key_that_its_own_caller_waits_for(pair, asked_again):
    one, other = pair
    ask(one, "a")
    assert one.receive() == ("loading", ["a"])
    other.do(
        """
        def load(keys):
            connection.send(("loading", keys))
            return {key: cache.get_or_load("a", lambda: "alone") for key in keys}
        """
    )
    ask(other, "ab")
    assert other.receive() == ("loading", ["b"])
    asked_again()
    one.send("one")
    assert other.receive() == ("done", {"a": "one a", "b": "alone"})
    one.receive()
    for process in pair:
        process.answer()


@VALKEY
def test_nobody_waits_for_a_load_of_many_from_before_a_clear(pair, site):
    one, other = pair
    site.ripen(other)
    ask(one, "ab")
    assert one.receive() == ("loading", ["a", "b"])
    other.do("cache.clear()")
    ask(other, "ab")
    assert other.receive() == ("loading", ["a", "b"])
    other.send("new")
    assert other.receive() == ("done", values("new", "ab"))
    one.send("old")
    assert one.receive() == ("done", values("old", "ab"))
    for process in pair:
        process.answer()
        assert process.ask("cache.get('a')") in ("new a", None)


@VALKEY
def test_the_claims_of_many_keys_take_one_round_trip_each_way(pair):
    one, _ = pair
    one.do(
        """
        from cenote.invalidation.network import value_scripts
        link, sent = caches._log.ledger.link, []
        run = link.run
        def counting(script, keys, arguments):
            sent.append(script)
            return run(script, keys, arguments)
        link.run = counting
        cache.get_or_load_many([f"k{n}" for n in range(300)], lambda keys: dict.fromkeys(keys, 1))
        """
    )
    assert one.ask("sent.count(value_scripts.CLAIM)") == 1
    assert one.ask("sent.count(value_scripts.EXTEND)") == 1
