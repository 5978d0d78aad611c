"""A namespace lies at one node of a cluster, which is found, and found again where it moves to."""

from __future__ import annotations

import pytest
from tests.network.clusters import Cluster
from tests.network.conftest import Site
from tests.network.servers import free_port, wait_for
from tests.network.test_failover import clear_when_it_can

from cenote import CacheManager, ClearFailedError

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def shared():
    """A cluster for tests that leave it whole: three masters, and a replica of the one that has the namespace."""
    with Cluster(replicas=1) as running:
        yield running


@pytest.fixture
def machines(tmp_path):
    """Return two witnesses on two machines that share a cluster, and the machines."""
    sites = []

    def found(cluster):
        site = Site(cluster, tmp_path, query="&cluster=1")
        sites.append(site)
        one, other = site.process("a"), site.process("b")
        site.ripen(one)
        site.witness(one, other)
        return one, other, site

    yield found
    for site in sites:
        site.end()


def ended_well(one, other, site):
    """Have both machines serve copies again, and clears succeed; and nothing have been served that was old."""
    site.leased(one)
    site.leased(other)
    site.warm(one, other)
    assert site.clear(other).level == "network"
    site.judge(one, other)


def test_nothing_from_before_is_served_once_a_replica_has_taken_the_place_of_a_killed_node(kind, machines):
    with Cluster(kind, replicas=1) as cluster:
        one, other, site = machines(cluster)
        assert site.clear(one).level == "network"
        cluster.owner.kill()
        with pytest.raises(ClearFailedError):
            site.clear(one)
        cluster.take_over(cluster.nodes[-1])
        clear_when_it_can(site, one)
        ended_well(one, other, site)


def test_a_node_that_became_a_replica_is_left(shared, machines):
    one, other, site = machines(shared)
    shared.take_over(shared.replica())
    assert site.clear(one).level == "network"
    ended_well(one, other, site)


def test_a_slot_that_moves_is_out_of_reach_and_then_found_where_it_is(shared, machines):
    one, other, site = machines(shared)
    source, target = shared.owner, shared.another
    shared.begin_move(source, target)
    shared.move_keys(source, target)
    with pytest.raises(ClearFailedError):
        site.clear(one)
    shared.end_move(source, target)
    clear_when_it_can(site, one)
    ended_well(one, other, site)


def test_a_log_that_lacks_a_record_since_a_slot_was_about_to_move_is_begun_anew(shared, machines):
    one, other, site = machines(shared)
    one.do("cache.invalidate_tags('x')")
    one.do("cache.set('set', 1, tags=['t'])")
    # The script finds all keys that it has named, and in the middle lacks one that it has not.
    source, target = shared.owner, shared.another
    shared.begin_move(source, target)
    with pytest.raises(ClearFailedError):
        one.do("cache.set('set', 2, tags=['z'])")
    shared.cancel_move(source, target)
    clear_when_it_can(site, one)
    ended_well(one, other, site)


def test_any_node_tells_where_the_namespace_is(shared, tmp_path):
    for node in shared.nodes:
        query = f"cluster=1&dir={tmp_path}/{node.port}&lease=0.2&agent=thread"
        with CacheManager(f"redis://127.0.0.1:{free_port()},127.0.0.1:{node.port}/0?{query}") as caches:
            assert caches.global_cache.clear().level == "network"


def test_nodes_that_were_not_given_are_asked_when_those_that_were_are_gone(tmp_path):
    with Cluster(replicas=1, lines=["cluster-require-full-coverage no"]) as cluster:
        given = cluster.another
        query = f"cluster=1&dir={tmp_path}/run&lease=0.2&agent=thread"
        with CacheManager(f"redis://127.0.0.1:{given.port}?{query}") as caches:
            assert caches.global_cache.clear().level == "network"
            given.kill()
            cluster.owner.kill()
            cluster.take_over(cluster.nodes[-1])

            def cleared():
                try:
                    return caches.global_cache.clear()
                except ClearFailedError:
                    return None

            assert wait_for(cleared).level == "network"


def test_a_user_needs_no_more_rights_than_are_documented_for_a_cluster(shared, rights, tmp_path):
    for node in shared.nodes:
        with node.client() as client:
            client.execute_command("ACL", "SETUSER", "shop", "on", ">secret", *rights("The server"), *rights("Cluster"))
    query = f"cluster=1&dir={tmp_path}/run&agent=thread"
    url = f"redis://shop:secret@127.0.0.1:{shared.another.port}?{query}"
    with CacheManager(url, namespace="shop") as caches:
        assert "secret" not in repr(caches)
        books = caches.service("books")
        assert books.clear().level == "network"
        books.set_many({f"k{n}": n for n in range(60)}, tags=["t"])
        assert books.get_or_load("loaded", lambda: 1) == 1
        assert len(books) == 61
        assert books.keys(prefix="k1")[:2] == ["k1", "k10"]
        assert books.delete("k1")
        assert books.clear(prefix="k2").entries_cleared == 11
        assert books.invalidate_tags("t")
        assert books.get("loaded") == 1
        assert caches.clear_all().level == "network"
    for node in shared.nodes:
        with node.client(decode_responses=True) as client:
            assert [each["object"] for each in client.acl_log() if each["username"] == "shop"] == []
