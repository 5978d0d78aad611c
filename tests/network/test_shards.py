"""What the shards of a cluster keep, claim, count and give back, as one server does."""

from __future__ import annotations

import pytest
from tests.network.test_claims_many import LOADER, WAYS, ask, values
from tests.waiting import wait_until

from cenote.invalidation.network.shards import number_of, tags_of

pytestmark = pytest.mark.long

TAG = tags_of("cenote")[number_of("k")]
"""Of a shard that is not at the node of the log."""

COVERING = ["cache.invalidate_tags('t')", "cache.clear(prefix='k')"]


@pytest.fixture
def site(emptied):
    """Machines that share a cluster which all tests of this file leave whole."""
    return emptied


def left(shared, kinds="vxt"):
    """Return what is left of values and indexes of tags, without what leads there."""
    found = [key.decode() for node in shared.nodes for key in node.keys(f"cenote:{{cenote:*}}:[{kinds}]:*")]
    return {key.rpartition(":")[2] for key in found}


@pytest.mark.parametrize("count", [160, 3200])
@pytest.mark.parametrize("covering", COVERING)
def test_what_tags_or_a_prefix_cover_leaves_all_shards_and_nothing_else_does(shared, site, covering, count):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set('other', 1, tags=['u'])")
    one.do("for n in range(40): cache.set(f'k{n}', n, tags=['t'])")
    one.do(f"cache.get_or_load_many([f'k{{n}}' for n in range(40, {count})], dict.fromkeys, tags=['t'])")
    assert len(left(shared, "v")) == count + 1
    one.do(covering)
    one.do("cache.set('k7', 'new', tags=['u'])")
    wait_until(lambda: left(shared) == {"other", "k7", "u"}, 20)
    wait_until(lambda: not [key for node in shared.nodes for key in node.keys("*:covered")], 20)
    named = [key for node in shared.nodes for key in node.keys("cenote:{cenote:*}:[en]:*")]
    assert len(named) == 4  # of two shards, by end and by name
    assert one.ask("cache.get_many(['k7', 'k8', 'other'])") == {"k7": "new", "other": 1}


@pytest.mark.parametrize("covering", COVERING)
def test_what_was_stored_behind_an_invalidation_is_not_given_back(shared, site, covering):
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    # Just behind the record, before it is known at the shards what it covers.
    one.do("""
        ledger = caches._log.ledger
        drop = ledger._drop
        def late(*arguments):
            connection.send("written")
            connection.recv()
            drop(*arguments)
        ledger._drop = late
        """)
    one.do("cache.set_many({f'k{n}': 'old' for n in range(60)}, tags=['t'])")
    site.leased(other)
    one.tell(covering)
    assert one.receive() == "written"
    other.do("for n in range(60): cache.set(f'k{n}', 'new', tags=['t'])")
    one.send("go on")
    one.answer()
    assert other.ask("len(cache)") == 60
    assert len(left(shared, "v")) == 60
    assert one.ask("cache.get_many([f'k{n}' for n in range(60)])") == {f"k{n}": "new" for n in range(60)}


def test_an_entry_of_several_tags_is_counted_once(site):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set_many({f'k{n}': n for n in range(60)}, tags=['t', 'u'])")
    one.do("cache.set_many({f'l{n}': n for n in range(30)}, tags=['u'])")
    one.do("found = cache.clear(tags=['t', 'u'], max_items=1000)")
    assert one.ask("(found.entries_cleared, found.count_exact, len(found.cleared_items))") == (90, True, 90)


def test_a_tag_that_a_later_value_does_not_carry_does_not_count_or_take_it(site):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set('k', 1, tags=['t']); cache.set('k', 2)")
    assert one.ask("cache.invalidate_tags('t')") == 0
    assert one.ask("cache.get('k')") == 2


@pytest.mark.parametrize("way", WAYS)
def test_of_many_keys_on_all_shards_each_is_loaded_by_one_machine(site, way):
    one, other = site.process("a", LOADER), site.process("b", LOADER)
    for process in (one, other):
        site.leased(process)
    first, second = [f"k{n}" for n in range(40)], [f"k{n}" for n in range(20, 60)]
    ask(one, first, way)
    assert one.receive() == ("loading", first)
    ask(other, second, way)
    assert other.receive() == ("loading", second[20:])
    other.send("other")
    one.send("one")
    assert one.receive() == ("done", values("one", first))
    assert other.receive() == ("done", {**values("one", second[:20]), **values("other", second[20:])})
    for process in (one, other):
        process.answer()


def test_claims_are_given_back_on_all_shards(shared, site):
    one = site.process("a", LOADER)
    site.leased(one)
    ask(one, [f"k{n}" for n in range(40)])
    one.receive()
    assert len(left(shared, "c")) == 40
    one.send("one")
    one.receive()
    one.answer()
    assert left(shared, "c") == set()


def test_a_change_that_is_begun_again_because_its_answer_was_lost_says_what_it_found(site):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set('k', 1)")
    one.do("""
        ledger = caches._log.ledger
        link = ledger.shard_of('k').link
        run = link._wire.run
        def cut(script, parts, *rest):
            # Done, and then the connection breaks before the answer is heard: so it is sent once more.
            link._wire.run = run
            run(script, parts, *rest)
            import redis
            raise redis.exceptions.ConnectionError("cut")
        link._wire.run = cut
        """)
    assert one.ask("cache.delete('k')") is True
    assert one.ask("cache.delete('k')") is False


def test_a_record_is_written_anew_when_its_change_is_made_again(site):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set('k', 1)")
    one.do("""
        ledger = caches._log.ledger
        write = ledger.link.run_and
        def amid(*arguments):
            ledger.link.run_and = write
            found = write(*arguments)
            change, = ledger.shard_of('k').link.call(lambda client: client.keys("cenote:{cenote:*}:i:*:k"))
            ledger.shard_of('k').link.call(lambda client: client.unlink(change))
            return found
        ledger.link.run_and = amid
        before = ledger.head()[1]
        """)
    assert one.ask("cache.delete('k')") is True
    assert one.ask("ledger.head()[1] - before") == 2


def test_machines_are_not_woken_for_each_set_and_no_answer_to_one_is_kept(shared, site):
    one = site.process("a")
    site.ripen(one)
    node = next(node for node in shared.nodes if node.keys("*:log"))
    with node.client() as client:
        before = client.info("commandstats")["cmdstat_publish"]["calls"]
        kept = client.hget("cenote:{cenote}:log", "done")
        one.do("for n in range(300): cache.set(f'k{n}', n)")
        assert client.info("commandstats")["cmdstat_publish"]["calls"] - before < 100
        assert client.hget("cenote:{cenote}:log", "done") == kept


def test_what_all_nodes_were_asked_is_counted(site):
    one = site.process("a")
    one.do("from cenote.meters import Meters")
    one.do("def asked():\n    found = Meters()\n    caches._log.measure(found)\n    return found.calls")
    before = one.ask("asked()")
    one.do("for n in range(20): cache.set(f'k{n}', n)")
    assert one.ask("asked()") - before >= 60
