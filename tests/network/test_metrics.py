"""What Prometheus is given where machines share the caches over a server."""

from __future__ import annotations

import os
import signal

from tests.waiting import wait_until

from cenote.telemetry.families import FAMILIES
from cenote.telemetry.otel.metrics import NETWORK_INSTRUMENTS

OPEN = "from cenote.telemetry.prometheus import exposition"
CLEARS = "cenote_clear_duration_seconds_count"
FAILED = 'cenote_clear_duration_seconds_count{level="machine",result="error"}'
DONE = 'cenote_clear_duration_seconds_count{level="network",result="success"}'


def scrape(process):
    """What a process answers, by sample."""
    lines = process.ask("exposition(caches).decode()").splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_every_metric_of_a_network_is_there_and_no_other(site):
    process = site.process("a", OPEN)
    site.ripen(process)
    # A server is neither limited by a cache nor does it weigh entries.
    unknown = {"cenote_cache_bytes", "cenote_cache_max_entries"}
    assert {name.partition("{")[0] for name in scrape(process)} == {
        sample for family in FAMILIES for sample in family.samples if sample not in unknown
    }


def test_lease_members_and_waits_are_those_of_the_machine_whichever_of_its_processes_answers(site):
    one, same, other = site.process("a", OPEN), site.process("a", OPEN), site.process("b", OPEN)
    site.ripen(one)
    for process in (one, same, other):
        site.leased(process)
    one.do("cache.get_or_load('k', int)\ncache.clear()")
    same.do("cache.clear()")
    other.do("caches.services()")
    first, second, elsewhere = scrape(one), scrape(same), scrape(other)
    for found in (first, second, elsewhere):
        assert found["cenote_members"] == 2
        assert (found["cenote_breaker_open"], found["cenote_clears_owed"]) == (0, 0)
    # The first clear of a new namespace was one too.
    assert (first[DONE], second[DONE], elsewhere[DONE]) == (3, 3, 0)
    assert first["cenote_acknowledgement_wait_seconds_count"] == 3
    assert second["cenote_acknowledgement_wait_seconds_count"] == 3
    assert first["cenote_acknowledgement_wait_seconds_sum"] > 0
    assert first["cenote_store_round_trips_total"] > 3
    assert second["cenote_store_round_trips_total"] >= first["cenote_store_round_trips_total"]
    renewed = first["cenote_lease_renewals_total"]
    assert renewed > 0
    wait_until(lambda: scrape(same)["cenote_lease_renewals_total"] > renewed)
    held = scrape(one)
    assert held["cenote_lease_held"] == (held["cenote_lease_remaining_seconds"] > 0)
    assert held["cenote_lease_remaining_seconds"] < site.lease


def test_a_machine_that_does_not_answer_is_counted_as_lapsed(site, two, stopped):
    one, _ = two
    one.do(OPEN)
    before = scrape(one)
    assert before["cenote_members_lapsed_total"] == 0
    go_on = stopped(site.agent("b"))
    assert len(one.ask("cache.clear().lapsed")) == 1
    after = scrape(one)
    assert after["cenote_members_lapsed_total"] == 1
    assert after["cenote_members"] == 1
    waited = after["cenote_acknowledgement_wait_seconds_sum"] - before["cenote_acknowledgement_wait_seconds_sum"]
    assert waited > site.lease
    go_on()
    wait_until(lambda: scrape(one)["cenote_members"] == 2)


def test_a_server_out_of_reach_shows_in_lease_breaker_errors_and_what_is_owed(site, server):
    one, same = site.process("a", OPEN), site.process("a", OPEN)
    site.ripen(one)
    for process in (one, same):
        site.leased(process)
    before = scrape(one)
    server.kill()
    wait_until(lambda: scrape(one)["cenote_lease_held"] == 0)
    one.do(
        """
        try:
            cache.clear()
        except ClearFailedError as error:
            assert error.level == "machine", error.level
        """
    )
    wait_until(lambda: one.ask("caches._log.connected or caches.rejoin()") is not None)
    found = scrape(one)
    assert (found["cenote_lease_remaining_seconds"], found["cenote_clears_owed"]) == (0, 1)
    assert found["cenote_breaker_open"] >= 1
    assert found["cenote_store_errors_total"] > before["cenote_store_errors_total"]
    assert found[FAILED] == 1
    assert "cenote_members" not in found
    server.start()
    wait_until(lambda: scrape(one).get("cenote_lease_held") == 1)
    wait_until(lambda: scrape(one)["cenote_clears_owed"] == 0)
    found = scrape(one)
    assert (found["cenote_breaker_open"], found["cenote_members"]) == (0, 1)


def test_renewals_are_counted_on_by_the_agent_that_takes_anothers_place(site):
    process = site.process("a", OPEN)
    site.leased(process)
    wait_until(lambda: scrape(process)["cenote_lease_renewals_total"] >= 3)
    agent = site.agent("a")
    os.kill(agent, signal.SIGKILL)
    before = scrape(process)["cenote_lease_renewals_total"]
    site.agent("a", but=agent)
    wait_until(lambda: scrape(process)["cenote_lease_renewals_total"] > before)


def test_what_a_load_brings_that_another_machine_cleared_meanwhile_is_told_as_discarded(site, two):
    one, other = two
    one.do(
        """
        from cenote.observing import LoadWatch, Observer
        from contextlib import nullcontext
        ends = []
        class Watch(LoadWatch):
            def also(self, describe): pass
            def running(self): return nullcontext()
            def waiting(self): return nullcontext()
            def ended(self, how, reason): ends.append(how.value)
        class Told(Observer):
            def load(self, cache, describe, *, behind): return Watch()
            def clear(self, event): return nullcontext(print)
        caches.observe(Told())
        """
    )
    one.tell(
        """
        def loader():
            connection.send("begun")
            connection.recv()
            return "old"
        cache.get_or_load("j", loader)
        """
    )
    assert one.receive() == "begun"
    assert other.ask("cache.clear().level") == "network"
    one.send("go on")
    one.answer()
    one.do("cache.get_or_load('i', int)")
    assert one.ask("ends") == ["discarded", "loaded"]


def counters(samples):
    return {name: value for name, value in samples.items() if name.startswith(("cenote_cache_", "cenote_clear_"))}


LOADS = 'cenote_cache_loads_total{cache="shop"}'


def test_what_ended_processes_counted_stays_when_the_server_loses_everything(site, server):
    one, ended, killed = (site.process("a", OPEN) for _ in range(3))
    site.ripen(one)
    for number, process in enumerate((ended, killed), 1):
        process.do(f"for k in range({number}): cache.get_or_load(f'{number}-{{k}}', int)")
        process.do("cache.clear()")
    before = scrape(one)
    assert (before[LOADS], before[DONE]) == (3, 3)
    ended.do("caches.close()")
    killed.kill()
    for _ in range(2):
        incarnation = site.followed(one)
        server.client().flushall()
        site.leaves(one, incarnation)
        after = scrape(one)
        assert (after[LOADS], after[DONE]) == (3, 3)
        assert after["cenote_lease_renewals_total"] >= before["cenote_lease_renewals_total"]
        assert after["cenote_processes"] == 1
    fresh = site.process("a", OPEN)
    fresh.do("cache.get_or_load('k', int)")
    assert [scrape(process)[LOADS] for process in (one, fresh)] == [4, 4]


def test_it_stays_when_a_clear_without_the_server_makes_the_machine_forget_everything(site, server):
    one, same, killed = (site.process("a", OPEN) for _ in range(3))
    site.ripen(one)
    for process in (one, same, killed):
        process.do("cache.get_or_load(str(now()), int)")
    assert scrape(one)[LOADS] == 3
    killed.kill()
    server.kill()
    one.do(
        """
        try:
            cache.clear()
        except ClearFailedError:
            pass
        """
    )
    wait_until(lambda: [scrape(process)[LOADS] for process in (one, same)] == [3, 3])
    server.start()
    wait_until(lambda: scrape(one).get("cenote_lease_held") == 1)
    assert [scrape(process)[LOADS] for process in (one, same)] == [3, 3]
    same.do("cache.get_or_load('more', int)")
    assert scrape(one)[LOADS] == 4


OTEL = """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from cenote.telemetry.otel import instrument
reader = InMemoryMetricReader()
instrument(caches, meter_provider=MeterProvider([reader], shutdown_on_exit=False))
def collected():
    (resource,) = reader.get_metrics_data().resource_metrics
    (scope,) = resource.scope_metrics
    return {each.name: sum(getattr(p, "value", 0) for p in each.data.data_points) for each in scope.metrics}
"""


def test_opentelemetry_is_told_of_the_network_too(site, server):
    one, other = site.process("a", OTEL), site.process("b", OTEL)
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
    found = one.ask("collected()")
    assert found.keys() >= set(NETWORK_INSTRUMENTS)
    assert (found["cenote.member.count"], found["cenote.clear.owed"], found["cenote.breaker.open"]) == (2, 0, 0)
    assert found["cenote.store.round_trips"] > 0
    server.kill()
    wait_until(lambda: one.ask("collected()")["cenote.lease.held"] == 0)
    found = one.ask("collected()")
    assert found["cenote.store.errors"] > 0
    assert "cenote.member.count" not in found
    assert found["cenote.cache.misses"] == 0
