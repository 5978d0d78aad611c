"""What tags or a prefix cover leaves the server, in small steps, and is counted exactly."""

from __future__ import annotations

import time

import pytest
from tests.waiting import wait_until

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network import Ledger, Link
from cenote.invalidation.network.answers import Value
from cenote.stores.stored import StoredEntry, pack

VALKEY = pytest.mark.parametrize("kind", ["valkey"])
SCOPES = {"tags": ("t",), "prefix": ("k",)}


class Shelf:
    """A service's entries at a server, without anybody who tidies up behind it."""

    def __init__(self, server):
        self.ledger = Ledger(Link(server.url, "shop"), "shop")
        self.incarnation, self.generation, self.head = "", 0, 0
        self.record("clear")
        self.generation = self.head
        self.steps()

    def record(self, kind, covered=(), *, soft=False, most=0):
        """Write a record, and return what the server says."""
        record = Record(kind=RecordKind(kind), cache="books", covered=covered, soft=soft)
        while True:
            found = self.ledger.record(
                record, incarnation=self.incarnation, generation=self.generation, since=self.head, most=most
            )
            self.incarnation, self.head = found.incarnation, found.sequence or found.head
            if found.sequence:
                return found
            self.generation = found.generation

    def keep(self, key, tags=(), *, birth=None, left=60.0):
        """Store what was loaded."""
        value = self._value(key, tags, left)
        place = {"incarnation": self.incarnation, "generation": self.generation}
        return self.ledger.put("books", key, value, birth=self.head if birth is None else birth, **place)

    def set(self, key, tags=()):
        """Store what somebody had."""
        record = Record(kind=RecordKind.KEY, cache="books", covered=(key,))
        found = self.ledger.record(
            record,
            incarnation=self.incarnation,
            generation=self.generation,
            since=self.head,
            value=self._value(key, tags, 60.0),
        )
        self.head = found.sequence

    def invalidate(self, count, kind):
        """Store so many entries that are covered, and write a record that covers them."""
        for number in range(count):
            self.keep(f"k{number:03}", ["t"])
        self.record(kind, SCOPES[kind])

    @staticmethod
    def _value(key, tags, left):
        # Its key stays as long as in the test it should be gone, so that only what the indexes say of its end counts.
        return Value(pack(StoredEntry(key, tags=frozenset(tags))), 60_000, time.time() + left, frozenset(tags))

    def steps(self, limit=200):
        """Give everything back, and return how many entries each step looked at."""
        found = []
        while step := self.ledger.give_back(limit):
            found.append(step)
        return found


@pytest.fixture
def shelf(server):
    """A service's entries, none yet."""
    found = Shelf(server)
    yield found
    found.ledger.link.close()


@pytest.fixture
def there(server, shelf):
    """Return which of the keys are at the server, and whether only they are in its indexes."""

    def look():
        with server.client() as client:
            found = {key.decode().rpartition(":")[2] for key in client.keys("*:v:*")}
            for index in client.keys("*:e:*") + client.keys("*:n:*"):
                assert {name.decode() for name in client.zrange(index, 0, -1)} == found
            for index in client.keys("*:t:*"):
                assert {name.decode() for name in client.zrange(index, 0, -1)} <= found
        return found

    return look


@pytest.mark.parametrize("scope", SCOPES)
def test_what_was_invalidated_leaves_the_server_and_nothing_else_does(shelf, there, server, scope):
    for number in range(500):
        shelf.keep(f"k{number}", ["t"])
    shelf.keep("other", ["u"])
    assert shelf.record(scope, SCOPES[scope]).live == 500
    assert shelf.steps()
    assert there() == {"other"}
    with server.client() as client:
        assert not client.keys("*:x:*")
        assert not client.exists("cenote:{shop}:covered")


@VALKEY
@pytest.mark.parametrize("scope", SCOPES)
def test_an_invalidation_looks_at_few_entries_itself_and_each_step_at_no_more_than_it_is_told(shelf, there, scope):
    shelf.invalidate(150, scope)
    assert len(there()) == 150
    assert shelf.steps(40)[:4] == [40, 40, 40, 30]
    assert there() == set()


@VALKEY
@pytest.mark.parametrize("scope", SCOPES)
def test_few_entries_leave_at_once(shelf, there, scope):
    for number in range(50):
        shelf.keep(f"k{number}", ["t"])
    shelf.record(scope, SCOPES[scope])
    assert there() == set()
    assert shelf.steps() == []


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("way", ["loaded", "set"])
def test_what_was_stored_anew_stays(shelf, there, scope, way):
    for number in range(300):
        shelf.keep(f"k{number}", ["t"])
    shelf.record(scope, SCOPES[scope])
    again = {f"k{number}" for number in range(0, 300, 7)}
    for key in again:
        assert shelf.keep(key, ["t"]) if way == "loaded" else shelf.set(key, ["t"]) is None
    shelf.steps(50)
    assert there() == again
    assert shelf.record(scope, SCOPES[scope]).live == len(again)


@VALKEY
def test_an_older_load_without_the_tag_stays(shelf, there):
    for number in range(300):
        shelf.keep(f"k{number}", ["t"])
    before = shelf.head
    shelf.record("tags", ("t",))
    assert shelf.keep("k7", ["u"], birth=before)
    assert not shelf.keep("k8", ["t"], birth=before)
    shelf.steps()
    assert there() == {"k7"}


@VALKEY
def test_what_was_cleared_meanwhile_leaves_with_its_generation(shelf, there, server):
    for number in range(300):
        shelf.keep(f"k{number}", ["t"])
    shelf.record("tags", ("t",))
    shelf.record("clear")
    shelf.generation = shelf.head
    shelf.keep("k1", ["t"])
    shelf.steps()
    assert there() == {"k1"}
    with server.client() as client:
        assert len(client.keys("*:t:*")) == 1


@VALKEY
@pytest.mark.parametrize("scope", SCOPES)
def test_a_soft_invalidation_takes_nothing_away(shelf, there, scope):
    for number in range(150):
        shelf.keep(f"k{number}", ["t"])
    found = shelf.record(scope, SCOPES[scope], soft=True)
    assert (found.live, found.exact) == (150, True)
    assert shelf.steps() == []
    assert len(there()) == 150


@VALKEY
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("entries", [50, 300])
def test_an_invalidation_that_is_repeated_takes_nothing_more(shelf, scope, entries):
    for number in range(entries):
        shelf.keep(f"k{number}", ["t"])
    first = shelf.record(scope, SCOPES[scope])
    assert (first.live, first.exact) == (entries, True)
    shelf.steps()
    second = shelf.record(scope, SCOPES[scope])
    assert (second.live, second.exact) == (0, True)


@VALKEY
def test_a_count_is_not_called_exact_while_something_is_still_to_be_given_back(shelf):
    for number in range(300):
        shelf.keep(f"k{number}", ["t"])
    shelf.record("tags", ("t",))
    early = shelf.record("prefix", ("k",))
    assert (early.live, early.exact) == (300, False)
    shelf.steps()
    shelf.keep("k1")
    late = shelf.record("clear")
    assert (late.live, late.exact) == (1, True)


@VALKEY
@pytest.mark.parametrize("entries", [30, 400])
def test_an_entry_of_several_tags_is_counted_once(shelf, entries):
    for number in range(entries):
        shelf.keep(f"k{number}", ["t", "u"] if number % 3 else ["u"])
    found = shelf.record("tags", ("t", "u"), most=1000)
    assert (found.live, found.exact) == (entries, True)
    assert len(set(found.sample)) == len(found.sample) == entries


@VALKEY
def test_of_very_many_entries_of_several_tags_an_upper_bound_is_said(shelf):
    for number in range(600):
        shelf.keep(f"k{number}", ["t", "u"])
    found = shelf.record("tags", ("t", "u"))
    assert (found.live, found.exact) == (1200, False)


@VALKEY
def test_what_lost_its_tag_was_replaced_or_is_over_is_not_counted(shelf):
    for key in ("lost", "removed", "stays", "set"):
        shelf.keep(key, ["t"])
    shelf.keep("over", ["t"], left=-1.0)
    shelf.keep("lost", ["u"])
    shelf.set("set", ["u"])
    shelf.record("key", ("nothing",))
    assert shelf.record("tags", ("t",)).live == 2
    shelf.keep("over", left=-1.0)
    shelf.keep("live")
    found = shelf.record("prefix", ("",))
    assert (found.live, found.exact) == (3, True)


@VALKEY
def test_the_index_of_a_tag_does_not_grow_with_what_has_ended(shelf, server):
    for number in range(50):
        shelf.keep(f"k{number}", ["t"], left=-1.0)
    for number in range(25):
        shelf.keep(f"live{number}", ["t"])
    with server.client() as client:
        (index,) = client.keys("*:t:*")
        assert client.zcard(index) == 25


@pytest.mark.parametrize("call", ["cache.invalidate_tags('t')", "cache.clear(prefix='k').entries_cleared"])
def test_a_running_cache_gives_back_what_it_invalidated_and_reads_what_came_after(site, server, call):
    one = site.process("a")
    site.ripen(one)
    one.do("[cache.set(f'k{n}', n, tags=['t']) for n in range(700)]; cache.set('other', 1)")
    assert one.ask(call) == 700
    one.do("cache.set('k5', 'anew', tags=['t'])")
    with server.client() as client:
        wait_until(lambda: len(client.keys("*:v:*")) == 2)
    site.reads(one, "anew", "k5")
    site.reads(one, 1, "other")
    assert one.ask("(lambda found: (found.entries_cleared, found.count_exact))(cache.clear())") == (2, True)


@VALKEY
@pytest.mark.parametrize("kind_of", SCOPES)
def test_what_is_still_to_be_given_back_does_not_stay_for_ever(server, shelf, kind_of):
    shelf.invalidate(250, kind_of)
    with server.client() as client:
        for _ in range(2):
            assert shelf.ledger.give_back(100) == 100
            assert client.exists("cenote:{shop}:covered")
            assert [key for key in client.keys("*") if client.ttl(key) == -1] == []
