"""What Prometheus is given where processes share the caches: sums, whichever process answers."""

from __future__ import annotations

import pytest

from cenote import CacheManager, ClearFailedError
from cenote.meters import Meters
from cenote.telemetry.prometheus import make_registry

from .processes import forked

SCRAPE = "from cenote.telemetry.prometheus import exposition"
COUNTED = (
    "cenote_cache_hits_total",
    "cenote_cache_misses_total",
    "cenote_cache_loads_total",
    "cenote_cache_load_seconds_total",
    "cenote_cache_load_duration_seconds_bucket",
    "cenote_cache_load_duration_seconds_count",
    "cenote_cache_load_duration_seconds_sum",
    "cenote_cache_invalidations_total",
    "cenote_clear_duration_seconds_bucket",
    "cenote_clear_duration_seconds_count",
    "cenote_clear_duration_seconds_sum",
)
LOADS = 'cenote_cache_loads_total{cache="shop"}'
TIMED = 'cenote_cache_load_duration_seconds_count{cache="shop"}'
CLEARS = 'cenote_clear_duration_seconds_count{level="machine",result="success"}'


def scrape(process):
    """What a process answers, by sample."""
    lines = process.ask("exposition(caches).decode()").splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def counters(samples):
    return {name: value for name, value in samples.items() if name.startswith(COUNTED)}


@pytest.fixture
def three(start):
    processes = [start(SCRAPE) for _ in range(3)]
    processes[0].do("caches.clear_all(dry_run=True)")
    return processes


def test_a_scrape_is_the_same_whichever_process_answers(three):
    for number, process in enumerate(three):
        process.do(f"for k in range({number + 1}): cache.get_or_load(f'{number}-{{k}}', int)")
        process.do("cache.clear()")
    scrapes = [counters(scrape(process)) for process in three]
    assert scrapes[0] == scrapes[1] == scrapes[2]
    assert (scrapes[0][LOADS], scrapes[0][TIMED], scrapes[0][CLEARS]) == (6, 6, 3)


def test_scrapes_never_go_backwards_while_processes_count_are_killed_and_come_and_go(three, start):
    seen = {}
    kills = 0
    for turn in range(24):
        for number, process in enumerate(three):
            process.do(f"cache.get_or_load('{turn}-{number}', int); cache.get('{turn}-{number}')")
            # They go on counting while one of them is scraped.
            process.tell(f"for k in range(50): cache.get_or_load(f'{turn}-{number}-{{k}}', int)\ncache.clear()")
        asked = three[turn % 3]
        asked.answer()
        found = counters(scrape(asked))
        for process in three:
            if process is not asked:
                process.answer()
        assert {name: (value, found.get(name)) for name, value in seen.items() if found.get(name, -1) < value} == {}
        seen = found
        if turn % 4 == 3:
            # What a scrape has shown stays, however its process ends.
            victim = three[(turn + 1) % 3]
            if kills % 2:
                victim.do("caches.close()")
            victim.kill()
            kills += 1
            three[(turn + 1) % 3] = start(SCRAPE)
    found = counters(scrape(three[0]))
    assert {name: (value, found.get(name)) for name, value in seen.items() if found.get(name, -1) < value} == {}
    # Who was killed had counted since it was last asked, so that some of its figures may be gone.
    assert 24 * 3 * 45 < found[LOADS] == found[TIMED] <= 24 * 3 * 51
    assert 24 * 3 - kills <= found[CLEARS] <= 24 * 3


def test_a_killed_process_leaves_its_meters_and_takes_its_gauges(three):
    three[0].do("cache.clear(); cache.clear()")
    three[1].do("cache.clear()")
    assert scrape(three[2])[CLEARS] == 3
    three[0].kill()
    for _ in range(3):
        assert [scrape(process)[CLEARS] for process in three[1:]] == [3, 3]
    with_file = "caches._log.membership.file.lock"
    three[1].do(f"with {with_file}: caches._log.membership.processes.reclaim()")
    assert [scrape(process)[CLEARS] for process in three[1:]] == [3, 3]
    assert scrape(three[1])["cenote_processes"] == 2


def test_who_takes_a_place_has_nothing_of_what_its_former_process_counted(open_log):
    log, former = open_log(), open_log()
    place = former.membership.place.number
    former.census.measure(Meters(calls=5, owed=2))
    assert (log.census.meters().calls, log.census.meters().owed) == (5, 2)
    former.close()
    assert (log.census.meters().calls, log.census.meters().owed) == (5, 0)
    assert open_log().membership.place.number == place
    assert (log.census.meters().calls, log.census.meters().owed) == (5, 0)


def test_a_forked_child_counts_only_what_it_does_itself(open_manager):
    caches = open_manager()
    cache = caches.service("shop")

    @cache.memoize
    def double(number: int) -> int:
        return 2 * number

    double(1)
    double(1)
    cache.get_or_load("k", int)
    caches.clear()
    before = caches.stats().services["shop"]

    def child():
        now = caches.stats().services["shop"]
        assert (now.hits, now.misses, now.loads) == (before.hits, before.misses, before.loads)
        assert (now.load_times, caches.meters().clears["machine", "success"].total) == (before.load_times, 1)
        double(2)
        double(2)
        now = caches.stats().services["shop"]
        assert (now.hits, now.loads) == (before.hits + 1, before.loads + 1)
        assert cache.own_stats().loads == 1
        assert double.cache_info().hits == 1
        caches.close()

    assert forked(child) == 0
    after = caches.stats().services["shop"]
    assert (after.hits, after.loads) == (before.hits + 1, before.loads + 1)


def test_a_clear_that_failed_is_counted_with_the_level_that_it_reached(open_manager, path):
    caches = open_manager()
    caches.clear_all()
    path.unlink()
    with pytest.raises(ClearFailedError):
        caches.clear_all()
    value = make_registry(caches).get_sample_value
    failed = {"level": "process", "result": "error"}
    assert value("cenote_clear_duration_seconds_count", failed) == 1
    assert value("cenote_clear_duration_seconds_count", {"level": "machine", "result": "success"}) == 1


def test_one_machine_has_no_figures_of_a_network(open_manager):
    caches = open_manager()
    assert caches.standing() is None
    names = {metric.name for metric in make_registry(caches).collect()}
    assert {name for name in names if "lease" in name or "member" in name or "store" in name} == set()
    with CacheManager() as alone:
        assert {metric.name for metric in make_registry(alone).collect()} == names
