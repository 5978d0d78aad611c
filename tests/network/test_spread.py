"""The entries of one namespace are spread over a cluster, and every invalidation holds all the same."""

from __future__ import annotations

from collections import Counter

import pytest
from redis.crc import key_slot
from tests.network.test_long_keys import (  # noqa: F401  # what holds at one server holds in a cluster
    test_a_long_key_is_set_read_and_deleted_alone,
    test_nothing_old_is_served_of_a_long_key_that_is_invalidated,
)
from tests.network.test_preview import (  # noqa: F401  # the fixture and what is tried with it
    holding,
    test_a_preview_counts_what_is_at_the_server_whoever_is_asked,
    test_a_preview_walks_through_no_more_of_a_server_than_a_limit,
)
from tests.network.test_refill import (  # noqa: F401  # the fixture and what is tried with it
    paced,
    test_a_refill_is_stopped_on_all_machines,
    test_every_machine_paces_its_loads_and_serves_nothing_old_meanwhile,
    test_machines_share_the_rate_and_the_processes_of_each_do,
)
from tests.network.test_strict import (  # noqa: F401  # the same
    WAYS,
    test_a_clear_says_what_it_took_and_who_acknowledged,
    test_a_load_in_flight_on_another_machine_publishes_nothing_from_before,
    test_a_load_that_began_before_a_set_does_not_replace_it,
    test_a_set_is_seen_by_other_machines_before_a_lease_is_over,
    test_a_soft_clear_makes_entries_stale_on_every_machine,
    test_an_entry_loaded_after_tags_were_invalidated_is_served_again,
    test_an_invalidation_holds_on_another_machine_when_it_returns,
    test_entries_survive_the_processes_that_loaded_them,
)
from tests.waiting import wait_until

from cenote.invalidation.network.shards import SHARDS, number_of, tags_of

pytestmark = pytest.mark.long

TAG = tags_of("cenote")[number_of("k")]
"""Of the shard of the key that most tests look at, which is not at the node of the log."""

MANY = """
import contextlib, random, threading
from cenote.testing import History, Stamped
history, halt, failed, loads = History(now), threading.Event(), [], [0]
keys = [f"k{number}" for number in range(6)]
keep = caches._shared.store.put
def late(*arguments):
    # It was seen that nothing made the value old; a while later it is sent.
    halt.wait(random.random() * 0.004)
    return keep(*arguments)
caches._shared.store.put = late
def load():
    loads[0] += 1
    return now()
def look(key):
    start = now()
    value = cache.get_or_load(key, load, tags=["t"])
    history.read(start, Stamped(None, value), cache="shop", key=key, tags=["t"])
def read():
    chosen = random.Random(threading.get_ident())
    try:
        while not halt.wait(0.0002):
            look(chosen.choice(keys))
    except BaseException as error:
        failed.append(repr(error))
readers = [threading.Thread(target=read, daemon=True) for _ in range(3)]
for each in readers:
    each.start()
class reader:
    join = staticmethod(lambda: [each.join() for each in readers])
def invalidate(number, ways=range(8)):
    chosen = random.Random(number)
    for _ in range(30):
        key = chosen.choice(keys)
        way = chosen.choice(ways)
        with contextlib.suppress(ClearFailedError):
            if way == 0:
                with history.invalidation(cache="shop"):
                    cache.clear()
            elif way == 1:
                with history.invalidation(cache="shop", tags=["t"]):
                    cache.invalidate_tags("t")
            elif way == 2:
                with history.invalidation(cache="shop", prefix=key):
                    cache.clear(prefix=key)
            elif way == 3:
                with history.invalidation(everything=True):
                    caches.clear_all()
            else:
                with history.invalidation(cache="shop", keys=[key]):
                    cache.delete(key)
            look(key)
"""


@pytest.fixture
def site(emptied):
    """Machines that share a cluster which all tests of this file leave whole."""
    return emptied


def test_the_shards_of_a_namespace_are_in_slots_that_lie_evenly_among_all():
    for namespace in ("cenote", "shop", "a"):
        places = [key_slot(tag.encode()) * SHARDS // 16384 for tag in tags_of(namespace)]
        assert places == list(range(SHARDS))


def test_where_an_entry_is_never_changes_since_all_machines_must_agree():
    assert tags_of("cenote")[:3] == ["cenote:62", "cenote:40", "cenote:0"]
    assert [number_of(key) for key in ("k", "set", "a", "b", "Höhle")] == [13, 12, 3, 9, number_of("Höhle")]
    counts = Counter(number_of(f"edition('title {number}')") for number in range(3200))
    assert len(counts) == SHARDS
    assert min(counts.values()) > 120


def test_entries_of_one_namespace_lie_on_all_masters_and_its_log_on_one(shared, site):
    one = site.process("a")
    one.do("for n in range(200): cache.set(f'k{n}', n)")
    one.do("for n in range(200): assert cache.get_or_load(f'l{n}', lambda: n) == n")
    counts = [len(node.keys("cenote:{cenote:*}:v:*")) for node in shared.nodes]
    assert sum(counts) == 400
    assert min(counts) > 60
    assert sorted(len(node.keys("*:log")) for node in shared.nodes) == [0, 0, 1]
    assert not [key for node in shared.nodes for key in node.keys("cenote:{cenote}:[vent]:*")]
    one.do("cache.set('tagged', 1, tags=['t']); cache.delete('k1'); cache.clear()")
    for node in shared.nodes:
        with node.client() as client:
            assert [key for key in client.keys("*") if client.ttl(key) == -1] == []


def test_many_keys_are_read_together_whatever_their_nodes(site):
    one, other = site.process("a"), site.process("b")
    one.do("cache.set_many({f'k{n}': n for n in range(100)})")
    site.leased(other)
    wanted = "[f'k{n}' for n in range(100)]"
    wait_until(lambda: other.ask(f"cache.get_many({wanted})") == {f"k{n}": n for n in range(100)})
    assert other.ask(f"caches.service('fresh').get_many({wanted})") == {}


def test_counts_and_listings_are_exact_over_all_shards(site):
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    one.do("for n in range(150): cache.set(f'k{n:03}', n, tags=['even'] if n % 2 == 0 else [])")
    one.do("for n in range(50): cache.set(f'other{n:03}', n)")
    names = [f"k{n:03}" for n in range(150)] + [f"other{n:03}" for n in range(50)]
    assert other.ask("len(cache)") == 200
    assert other.ask("cache.keys()") == names
    assert other.ask("cache.keys(prefix='k1', limit=20)") == [f"k1{n:02}" for n in range(20)]
    assert other.ask("cache.keys(tag='even')") == names[:150:2]
    assert other.ask("cache.clear(prefix='other').entries_cleared") == 50
    assert other.ask("cache.delete('k001')") is True
    assert other.ask("cache.delete('k001')") is False
    assert one.ask("cache.invalidate_tags('even')") == 75
    assert one.ask("cache.clear().level") == "network"
    one.do("for n in range(99): cache.set(f'k{n}', n)")
    one.do("caches.service('books').set('b', 1)")
    one.do("found = caches.service('books').clear(max_items=5)")
    assert one.ask("(found.entries_cleared, found.count_exact, found.cleared_items)") == (1, True, ("b",))
    other.do("found = cache.clear(max_items=1000)")
    assert other.ask("(found.entries_cleared, found.count_exact)") == (99, True)
    assert sorted(other.ask("found.cleared_items")) == sorted(f"k{n}" for n in range(99))
    one.do("for n in range(40): cache.set(f'k{n}', n); caches.service('books').set(f'k{n}', n)")
    other.do("found = caches.clear_all()")
    assert other.ask("(found.entries_cleared, found.count_exact)") == (80, True)
    assert other.ask("len(cache)") == 0


def test_what_was_cleared_leaves_all_nodes(shared, site):
    one = site.process("a")
    one.do("for n in range(120): cache.set(f'k{n}', n)")
    one.do("cache.clear()")
    left = ("cenote:{cenote:*}:[ven]:*", "cenote:{cenote}:garbage")
    wait_until(lambda: not [key for node in shared.nodes for each in left for key in node.keys(each)], 20)


def test_nothing_old_is_served_while_both_machines_invalidate_and_load(site):
    one, other = site.process("a", MANY), site.process("b", MANY)
    site.ripen(one)
    for number, process in enumerate((one, other)):
        process.tell(f"invalidate({number})")
    for process in (one, other):
        process.answer()
    # After each of its thirty a machine took a value that one of the two had loaded since.
    assert one.ask("loads[0]") + other.ask("loads[0]") >= 30
    site.judge(one, other)


@pytest.mark.parametrize("way", WAYS)
def test_invalidations_hold_where_no_machine_has_a_lease(site, way):
    one, other = (site.process(machine, query="&validate=always") for machine in "ab")
    site.ripen(one)
    one.do("cache.set('k', 'old', tags=['t'])")
    for _ in range(3):
        site.reads(other, "old")
    one.do(WAYS[way])
    for process in (one, other):
        assert process.ask("cache.get('k')") is None


def test_what_is_refreshed_is_seen_by_other_machines(site):
    setup = """
        answer = "old"
        @cache.memoize()
        def load(number: int) -> str:
            return answer
        """
    one, other = site.process("a", setup), site.process("b", setup)
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
        for _ in range(3):
            assert process.ask("load(1)") == "old"
    one.do("answer = 'new'")
    assert one.ask("load.refresh(1)") == "new"
    obeyed(other)
    for process in (one, other):
        assert process.ask("load(1)") == "new"


def test_a_key_that_is_softly_invalidated_is_stale_on_every_machine(two):
    one, other = two
    one.do("from cenote.invalidation.log import Record, RecordKind")
    one.do("from cenote.invalidation.network.answers import TAKE_OUT")
    one.do("record = Record(kind=RecordKind.KEY, cache='shop', covered=('k',), soft=True)")
    one.do("receipt = caches._log.record(record, value=TAKE_OUT); caches._log.await_members(receipt)")
    assert one.ask("receipt.live") == 1
    assert other.ask("cache.explain('k').state") != "fresh"
    assert other.ask("cache.get_or_load('k', lambda: 'new')") == "new"


AMID = """
ledger = caches._log.ledger
write = ledger.link.run_and
def amid(*arguments):
    ledger.link.run_and = write
    if before:
        connection.send("before")
        connection.recv()
    found = write(*arguments)
    if behind:
        connection.send("behind")
        connection.recv()
    return found
ledger.link.run_and = amid
"""
KEEP = """
from cenote.codecs import MsgpackCodec
from cenote.stores.stored import StoredEntry
def keep(birth):
    state = cache._core.state
    entry = StoredEntry("k", birth=birth, payload=MsgpackCodec().encode("old", str))
    return caches._shared.store.put(state.shelf, state.generation, entry)
"""
CHANGES = ["cache.delete('k')", "cache.set('k', 'new')"]


@pytest.fixture
def pair(site):
    """A process on each of two machines, the second one with what keeps a load of a given birth."""
    one, other = site.process("a"), site.process("b", KEEP)
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
    return one, other


def head_of(process):
    """Return the last sequence of the log."""
    return process.ask("caches._log.ledger.head()[1]")


def obeyed(process):
    """Wait until a process's machine obeys all that is written."""
    wait_until(lambda: process.ask("caches._log.head") == head_of(process))


def reads(process, value):
    """Wait until a process reads a value, and nothing old before; without a lease a read may find none."""

    def read():
        found = process.ask("cache.get('k')")
        assert found != "old"
        return found == value

    wait_until(read)


def begin(process, change, *moments):
    """Have a process change a key, and stand still before its record is written, behind that, or both."""
    process.do("".join(f"{moment} = {moment in moments}\n" for moment in ("before", "behind")))
    process.do(AMID)
    process.tell(change)
    assert process.receive() == moments[0]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", ["before", "behind"])
def test_a_load_that_ends_amid_or_after_a_change_of_its_key_is_not_kept(pair, change, moment):
    one, other = pair
    birth = head_of(other)
    assert other.ask(f"keep({birth})")
    begin(one, change, moment)
    assert other.ask("cache.get('k')") is None
    assert not other.ask(f"keep({birth})")
    one.send("go on")
    one.answer()
    assert not other.ask(f"keep({birth})")
    for process in pair:
        reads(process, "new" if "set" in change else None)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_its_shard_has_forgotten_meanwhile_is_made_again(shared, pair, change):
    one, other = pair
    birth = head_of(other)
    begin(one, change, "behind")
    obeyed(other)
    # Evicted, or its time over: so a load from before the record is kept behind it, and copied.
    with shared.owner.client() as client:
        assert client.unlink(*client.keys("cenote:{cenote:*}:i:*"))
    assert other.ask(f"keep({birth})")
    for _ in range(3):
        wait_until(lambda: other.ask("cache.get('k')") == "old")
    one.send("go on")
    one.answer()
    obeyed(other)
    for process in pair:
        reads(process, "new" if "set" in change else None)


def test_of_two_values_that_are_set_at_once_the_earlier_is_not_copied_behind_the_record_of_the_later(pair):
    one, other = pair
    begin(one, "cache.set('k', 'later')", "before", "behind")
    other.do("cache.set('k', 'earlier')")
    one.send("go on")
    assert one.receive() == "behind"
    obeyed(other)
    for _ in range(3):
        assert other.ask("cache.get('k')") is None
    one.send("go on")
    one.answer()
    for process in pair:
        assert process.ask("cache.get('k')") == "later"


def test_a_key_is_deleted_in_the_generation_in_force_though_its_deleter_knows_an_earlier_one(pair, site, stopped):
    one, other = pair
    one.do("cache.set('k', 'older')")
    resume = stopped(site.agent("a"))
    other.do("cache.clear()")
    assert other.ask("cache.get_or_load('k', lambda: 'old')") == "old"
    for _ in range(3):
        wait_until(lambda: other.ask("cache.get('k')") == "old")
    one.do("cache.delete('k')")
    assert other.ask("cache.get('k')") is None
    resume()


def test_a_shard_that_has_lost_its_floors_keeps_no_load_from_before(shared, pair, site):
    one, other = pair
    birth = head_of(other)
    one.do("cache.delete('k')")
    former = site.followed(one)
    with shared.owner.client() as client:
        assert client.unlink(f"cenote:{{{TAG}}}:guard")
    assert not other.ask(f"keep({birth})")
    for process in pair:
        assert process.ask("cache.get('k')") is None
        site.leaves(process, former)
    site.insist(one, "cache.set('k', 'new')")
    site.reads(other, "new")


def test_a_shard_forgets_floors_that_are_too_many_and_keeps_no_load_older_than_those(pair):
    one, other = pair
    birth = head_of(other)
    one.do("from cenote.invalidation.network.shards import number_of")
    one.do("names = [name for name in map('x{}'.format, range(20_000)) if number_of(name) == number_of('k')][:1100]")
    one.do("cache.delete('k')")
    assert not other.ask(f"keep({birth})")
    one.do("for name in names: cache.set(name, 1)")
    assert not other.ask(f"keep({birth})")
    assert other.ask(f"keep({head_of(other)})")
