"""A namespace that is spread over a cluster, some of whose nodes fail, are replaced, or give slots away."""

from __future__ import annotations

import pytest
from tests.network.clusters import Cluster
from tests.network.servers import wait_for
from tests.network.test_failover import clear_when_it_can
from tests.network.test_spread import MANY
from tests.waiting import wait_until

from cenote import ClearFailedError
from cenote.invalidation.network.shards import number_of, tags_of

pytestmark = pytest.mark.long

TAG = tags_of("cenote")[number_of("k")]
"""Of the shard of the key that witnesses read, which is not at the node of the log."""


@pytest.fixture
def machines(clustered):
    """Return two witnesses on two machines that share a cluster, and the machines."""

    def found(cluster):
        site = clustered(cluster)
        one, other = site.process("a"), site.process("b")
        site.ripen(one)
        site.witness(one, other)
        return one, other, site

    return found


def ended_well(one, other, site):
    """Have both machines serve copies again, and clears succeed; and nothing have been served that was old."""
    site.leased(one)
    site.leased(other)
    site.warm(one, other)
    assert clear_when_it_can(site, other).level == "network"
    site.judge(one, other)


def test_a_failover_of_a_shard_that_lost_deletions_brings_nothing_back(kind, clustered):
    with Cluster(kind, replicas=1, namespace=TAG) as cluster:
        site = clustered(cluster)
        one, other = site.process("a"), site.process("b")
        site.ripen(one)
        site.spread(one, other)
        master, replica = cluster.owner, cluster.nodes[-1]
        assert not master.keys("*:log")
        wait_for(lambda: replica.keys("cenote:*:v:*:k"))
        cut(master, replica)
        one.do("cache.delete('k')")
        assert not master.keys("cenote:*:v:*:k")
        former = site.followed(one)
        master.kill()
        cluster.take_over(replica)
        assert replica.keys("cenote:*:v:*:k")
        for process in (one, other):
            for _ in range(3):
                assert process.ask("cache.get('k')") is None
            wait_until(lambda process=process: process.ask("cache.get('k')") or site.followed(process) != former)
        site.insist(one, "assert cache.clear().level == 'network'")
        for process in (one, other):
            site.leased(process)
        site.insist(one, "cache.set('k', 'new')")
        site.reads(other, "new")


def cut(master, replica):
    """Have a replica follow its master no more, though it believes that it does."""
    with replica.client() as client:
        client.config_set("masteruser", "nobody")
        client.config_set("masterauth", "wrong")
    with master.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    wait_for(lambda: not replica.follows(master))


def test_a_shard_that_is_deposed_and_promoted_again_brings_nothing_back(clustered):
    with Cluster(replicas=1, namespace=TAG) as cluster:
        site = clustered(cluster)
        one, other = site.process("a"), site.process("b")
        site.ripen(one)
        site.spread(one, other)
        one.do("for n in range(99): cache.set(f'k{n}', n)")
        master, replica = cluster.owner, cluster.nodes[-1]
        wait_for(lambda: replica.keys("cenote:*:v:*:k"))
        cut(master, replica)
        one.do("cache.delete('k')")
        # Nobody looks meanwhile.
        for process in (one, other):
            process.stop()
        cluster.take_over(replica)
        wait_for(lambda: master.follows(replica))
        cluster.take_over(master)
        cluster.wait_until_settled()
        assert master.keys("cenote:*:v:*:k")
        for process in (one, other):
            process.resume()
            for _ in range(3):
                assert process.ask("cache.get('k')") is None
        site.insist(one, "assert cache.clear().level == 'network'")


def test_nothing_old_is_served_when_a_replica_takes_a_shards_place_while_its_master_runs(kind, machines):
    with Cluster(kind, replicas=1, namespace=TAG) as cluster:
        one, other, site = machines(cluster)
        assert site.clear(one, "cache.delete('k')").level is None
        cluster.take_over(cluster.nodes[-1])
        clear_when_it_can(site, one, "cache.delete('k')")
        ended_well(one, other, site)


@pytest.mark.parametrize("follows", [True, False])
def test_nothing_old_is_served_while_all_kinds_are_invalidated_and_a_shard_is_replaced(clustered, follows):
    with Cluster(replicas=1, namespace=TAG) as cluster:
        site = clustered(cluster)
        one, other = site.process("a", MANY), site.process("b", MANY)
        site.ripen(one)
        master, replica = cluster.owner, cluster.nodes[-1]
        wait_until(lambda: one.ask("loads[0]") + other.ask("loads[0]") > 5)
        if not follows:
            cut(master, replica)
        for number, process in enumerate((one, other)):
            process.tell(f"invalidate({number}, ways=[7])")  # keys, whose values do not change their names
        former = incarnation(cluster)
        cluster.take_over(replica)
        wait_for(lambda: incarnation(cluster) != former)
        for process in (one, other):
            process.answer()
            site.insist(process, "invalidate(2)")
        history = site.judge(one, other)
        assert len(history.invalidations) > 50


def incarnation(cluster):
    """Return the incarnation of the log."""
    for node in cluster.nodes:
        for key in node.keys("*:log"):
            with node.client(decode_responses=True) as client:
                return client.hget(key, "inc")
    return None


@pytest.mark.parametrize("fault", ["killed", "paused"])
def test_where_a_shard_is_down_its_keys_are_loaded_and_clears_hold(clustered, fault):
    with Cluster(namespace=TAG, lines=["cluster-require-full-coverage no"]) as cluster:
        site = clustered(cluster)
        one, other = site.process("a"), site.process("b")
        site.ripen(one)
        site.spread(one, other)
        one.do("cache.set('a', 'old')")  # elsewhere
        site.reads(other, "old", "a")
        down = cluster.owner
        down.kill() if fault == "killed" else down.pause()
        assert one.ask("cache.get_or_load('x', lambda: 'loaded')") == "loaded"
        with pytest.raises(ClearFailedError):
            one.do("cache.delete('k')")
        with pytest.raises(ClearFailedError):
            one.do("cache.set('k', 'new')")
        one.do("found = cache.clear()")
        assert one.ask("(found.level, found.count_exact)") == ("network", False)
        for process in (one, other):
            assert process.ask("cache.get('a')") is None
            assert process.ask("cache.get('k')") is None
            assert process.ask("cache.get_or_load('k', lambda: 'loaded')") == "loaded"
        one.do("cache.set('a', 'new')")
        site.reads(other, "new", "a")
        assert other.ask("cache.get_many(['a', 'k'])") == {"a": "new"}
        one.do("cache.delete('a')")
        assert other.ask("cache.get('a')") is None
        one.do("from cenote.invalidation.log import Record, RecordKind")
        one.do("receipt = caches._log.record(Record(kind=RecordKind.CLEAR, cache='shop'))")
        assert not one.ask("receipt.exact")


@pytest.mark.parametrize("connected", [True, False])
def test_all_that_a_silent_node_has_is_waited_for_once(clustered, connected):
    with Cluster(namespace=TAG, lines=["cluster-require-full-coverage no"]) as cluster:
        site = clustered(cluster)
        one = site.process("a")
        site.ripen(one)
        one.do("cache.set('k', 'old')")
        if connected:
            assert one.ask("len(cache)") == 1
        else:
            one.do("for shard in caches._log.ledger.shards: shard.link._hang_up()")
        cluster.owner.pause()
        one.do("begin = now(); found = cache.clear(); took = (now() - begin) / 1e9")
        assert one.ask("(found.level, found.count_exact)") == ("network", False)
        assert one.ask("took") < 4.5  # five shards, and more than a second each


def test_a_shard_that_comes_back_with_its_data_is_believed_no_more(clustered):
    keep = ["appendonly yes", "appendfsync always", "cluster-require-full-coverage no"]
    with Cluster(namespace=TAG, lines=keep) as cluster:
        site = clustered(cluster)
        one, other = site.process("a"), site.process("b")
        site.ripen(one)
        site.spread(one, other)
        former = site.followed(one)
        cluster.owner.kill()
        next(node for node in cluster.nodes if not node.running).start()
        cluster.wait_until_settled()
        assert cluster.owner.keys("cenote:*:v:*:k")
        one.do("cache.get('x')")
        for process in (one, other):
            site.leaves(process, former)
            assert process.ask("cache.get('k')") is None
        site.insist(one, "cache.set('k', 'new')")
        site.reads(other, "new")


def test_a_shard_that_moves_while_it_is_read_is_found_where_it_is(machines):
    with Cluster(namespace=TAG) as cluster:
        one, other, site = machines(cluster)
        source, target = cluster.owner, cluster.another
        cluster.begin_move(source, target)
        site.warm(one, other)
        cluster.move_keys(source, target)
        assert clear_when_it_can(site, one).level == "network"
        with pytest.raises(ClearFailedError):
            site.clear(one, "cache.delete('k')")
        cluster.end_move(source, target)
        clear_when_it_can(site, one, "cache.delete('k')")
        ended_well(one, other, site)
