"""What has ended leaves the server in the background, at leisure."""

from __future__ import annotations

import time

from cenote.invalidation.network import Ledger, Link
from cenote.stores.redis import RedisStore
from cenote.testing import FakeClock


def test_a_machine_that_is_woken_often_tidies_up_a_few_times_a_second(site, server):
    one = site.process("a")
    site.ripen(one)
    with server.client() as client:
        client.config_resetstat()
        begin = time.monotonic()
        one.do("[cache.set(f'k{n}', n) for n in range(300)]")
        took = time.monotonic() - begin
        turns = client.info("commandstats").get("cmdstat_lindex", {}).get("calls", 0)  # what every turn asks
    assert turns <= took / 0.2 + 2


def test_there_is_no_rest_while_there_is_more_to_tidy_up(server):
    ledger, clock = Ledger(Link(server.url, "shop"), "shop"), FakeClock()
    store = RedisStore(ledger, None, clock)
    names = [f"k{number}" for number in range(35)]
    with server.client() as client:
        client.mset({f"{ledger.opening}v:inc:books:1:{name}": "v" for name in names})
        client.zadd(f"{ledger.opening}e:inc:books:1", dict.fromkeys(names, 1e12))
        client.lpush(f"{ledger.opening}garbage", "inc:books:1")
        assert [store.tidy([], 10) for _ in range(4)] == [True, True, True, False]
        assert client.keys("*:v:*") == []
        store.tidy([], 10)
        assert client.exists(f"{ledger.opening}garbage")
        clock.advance(1)
        store.tidy([], 10)
        assert client.keys("*") == []
    store.close()
