"""What a manager is told of its server: URLs, users, versions."""

from __future__ import annotations

import pytest
import redis

from cenote import CacheManager, ConfigurationError

from .proxy import Proxy
from .sentinels import Sentinel
from .servers import Server, agents, free_port, wait_for


@pytest.mark.parametrize("database", [0, 1])
def test_a_user_needs_no_more_rights_than_are_documented(kind, rights, tmp_path, database):
    lines = ["user default off", f"user shop on >secret {' '.join(rights('The server'))}"]
    lines += ["user root on >secret ~* &* +@all"]
    with Server(kind, lines=lines) as server:
        url = f"redis://shop:secret@127.0.0.1:{server.port}/{database}?dir={tmp_path}/run&lease=3"
        with CacheManager(url, namespace="shop") as caches:
            assert "secret" not in repr(caches)
            cache = caches.service("books")
            wait_for(lambda: caches._log.holds_lease)
            cache.set("k", 1, tags=["t"])
            assert [cache.get("k") for _ in range(3)] == [1, 1, 1]
            assert cache.get_or_load("loaded", lambda: 2, tags=["t"]) == 2
            assert cache.keys() == ["k", "loaded"]
            assert cache.clear(dry_run=True).entries_cleared == 2
            assert cache.clear(mode="soft").entries_cleared == 2
            assert cache.clear(prefix="k", mode="soft").level == "network"
            assert cache.invalidate_tags("t") == 2
            cache.set("k", 1)
            assert cache.delete("k") is True
            for call in (lambda: cache.invalidate_tags("t"), lambda: cache.clear(prefix="k").entries_cleared):
                cache.set_many({f"k{number}": number for number in range(150)}, tags=["t"])
                assert call() == 150
                wait_for(
                    lambda: not caches.tend() and not caches._log.ledger.link.client.exists("cenote:{shop}:covered")
                )
            assert caches.clear_all().level == "network"
            assert cache.clear().level == "network"
            assert caches.stats().services["books"].current_size == 0
            while caches.tend():
                pass
        # Nothing was asked for that is not theirs, not even what is tried and done without.
        with redis.Redis.from_url(f"unix://root:secret@{server.socket}") as client:
            assert client.acl_log() == []


def test_a_user_without_rights_loads_all_the_same(kind, tmp_path):
    with Server(kind, lines=["user default off", "user shop on >secret ~nothing +ping"]) as server:
        url = f"redis://shop:secret@127.0.0.1:{server.port}/0?dir={tmp_path}/run&lease=0.2"
        with CacheManager(url, namespace="shop") as caches:
            assert caches.global_cache.get_or_load("k", lambda: 1) == 1


@pytest.mark.parametrize(
    ("kind", "version", "least"),
    [("redis", "6.1", "6.2"), ("redis", "6.2", None), ("valkey", "7.1", "7.2"), ("valkey", "7.2", None)],
)
def test_a_server_of_an_older_version_is_refused(kind, version, least, tmp_path):
    with Server(kind) as server, Proxy(server) as proxy, server.client() as client:
        real = client.info("server")[f"{kind}_version"]
        older = version + real.removeprefix(".".join(real.split(".")[:2]))
        assert len(older) == len(real)
        proxy.amended[f"{kind}_version:{real}".encode()] = f"{kind}_version:{older}".encode()
        url = f"{proxy.url}?dir={tmp_path}/run&lease=0.2"
        if least is None:
            with CacheManager(url) as caches:
                assert caches.clear_all().level == "network"
            return
        with pytest.raises(ConfigurationError, match=f"of version {older}; at least {least} is needed"):
            CacheManager(url)
        assert agents(tmp_path) == []


def test_a_server_in_cluster_mode_is_refused(kind, tmp_path):
    lines = ["cluster-enabled yes", f"cluster-port {free_port()}"]
    with Server(kind, lines=lines) as server, pytest.raises(ConfigurationError, match="cluster=1"):
        CacheManager(f"{server.url}?dir={tmp_path}/run")


def test_a_sentinel_is_no_server(kind, tmp_path):
    with Sentinel(kind, free_port(), 1) as sentinel, pytest.raises(ConfigurationError, match="sentinel=NAME"):
        CacheManager(f"{sentinel.tcp_url}?dir={tmp_path}/run")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("lease=0.01", "a lease must last"),
        ("lease=soon", "lease must be a number"),
        ("lease=1&lease=2", "twice"),
        ("dir=run", "absolute"),
        ("agent=nobody", "agent must be"),
        ("replicas=-1", "replicas must be a number"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused(query, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        CacheManager(f"redis://user:secret@127.0.0.1:1/0?{query}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://user:secret@one,two/0", "several hosts"),
        ("redis://user:secret@one,two/0?sentinel=", "several hosts"),
        ("redis://user:secret@one,two/1?cluster=1", "no database but 0"),
        ("redis://user:secret@one?cluster=yes", "cluster must be 1"),
        ("redis://user:secret@one?cluster=1&sentinel=m", "either"),
        ("redis://one?sentinel_password=secret", "need sentinel=NAME"),
        ("redis://one?sentinel=m&sentinel_password=secret&lease=x", "lease must be a number"),
        ("unix://user:secret@/socket?sentinel=m", "by their hosts"),
        ("redis://user:secret/word@one:6379", "a port that is a number"),
        ("redis://user:secret@one:port,two?cluster=1", "a port that is a number"),
        ("redis://user:secret@one?leese=3", "leese"),
    ],
)
def test_a_url_that_contradicts_itself_is_refused(url, said, tmp_path):
    with pytest.raises(ConfigurationError, match=said) as caught:
        CacheManager(f"{url}{'&' if '?' in url else '?'}dir={tmp_path}/run")
    assert "secret" not in str(caught.value)


def test_a_manager_is_made_while_the_server_is_not_there(tmp_path):
    with CacheManager(f"redis://127.0.0.1:{free_port()}/0?dir={tmp_path}/run&lease=0.2") as caches:
        assert caches.global_cache.get_or_load("k", lambda: 1) == 1
        assert caches.global_cache.get("k") is None


def test_the_agent_may_be_a_thread_of_the_process(kind, tmp_path):
    with Server(kind) as server:
        with CacheManager(f"{server.url}?dir={tmp_path}/run&agent=thread") as caches:
            assert agents(tmp_path) == []
            caches.global_cache.set("k", 1)
            assert caches.global_cache.clear().acknowledged
        with server.client() as client:
            assert client.hget("cenote:{cenote}:log", "members") == b"\x90"
