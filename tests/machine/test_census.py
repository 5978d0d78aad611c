"""The figures of all processes of a machine, whichever of them is asked."""

from __future__ import annotations

import os

import pytest

from .processes import wait_until

FILL = """
for number in range({count}):
    cache.get_or_load(f"{name}-{{number}}", lambda: 1, tags=["{name}"])
"""


SLOW = """
from cenote.testing import FakeClock
clock = FakeClock()
cache._core.now = clock.monotonic
cache.get_or_load("slow", lambda: clock.advance(0.03))
"""


@pytest.fixture
def three(start):
    """Three processes that hold 3, 4 and 5 entries of their own."""
    processes = [start(), start(), start()]
    for process, name, count in zip(processes, "abc", (3, 4, 5), strict=True):
        process.do(FILL.format(name=name, count=count))
    processes[0].do("caches.clear('shop', dry_run=True)")
    return processes


def test_a_clear_counts_the_entries_of_every_process(three):
    assert three[1].ask("cache.clear(dry_run=True).entries_cleared") == 12
    assert three[1].ask("cache.clear().entries_cleared") == 12
    assert three[2].ask("cache.clear().entries_cleared") == 0
    three[0].do(FILL.format(name="a", count=2))
    assert three[2].ask("caches.clear_all().entries_cleared") == 2


def test_a_tag_and_a_prefix_count_what_they_removed_in_every_process(three):
    three[0].do(FILL.format(name="b", count=4))
    assert three[2].ask("cache.invalidate_tags('b')") == 8
    assert three[0].ask("cache.clear(prefix='a-').entries_cleared") == 3
    assert three[0].ask("cache.clear(prefix='c').entries_cleared") == 5
    assert three[1].ask("cache.clear().entries_cleared") == 0


def test_entries_in_every_process_are_counted_once_for_each(three):
    for process in three:
        process.do(FILL.format(name="x", count=1))
    assert three[0].ask("cache.stats().current_size") == 15
    assert three[0].ask("cache.clear(prefix='x').entries_cleared") == 3


def test_a_delete_answers_whether_any_process_had_the_entry(three):
    assert three[2].ask("cache.delete('a-0')") is True
    assert three[2].ask("cache.delete('a-0')") is False
    assert three[0].ask("cache.get('a-0')") is None
    assert three[0].ask("cache.delete('nobody has it')") is False


@pytest.mark.parametrize("which", [0, 1, 2])
def test_statistics_are_sums_whichever_process_answers(three, which):
    three[0].do("for _ in range(10): cache.get('a-0')")
    three[1].do("for _ in range(5): cache.get('nothing')")
    stats = three[which].ask("caches.stats().services['shop']")
    assert (stats.loads, stats.hits, stats.misses, stats.current_size) == (12, 10, 12 + 5, 12)
    assert stats.load_seconds >= 0


def test_the_counts_of_a_killed_process_are_kept_once_and_its_entries_are_gone(three):
    three[0].do("for _ in range(7): cache.get('a-0')")
    assert three[1].ask("caches.stats().services['shop'].hits") == 7
    three[0].kill()
    for _ in range(3):
        for process in three[1:]:
            stats = process.ask("caches.stats().services['shop']")
            assert (stats.hits, stats.loads, stats.current_size) == (7, 12, 9)
    wait_until(lambda: len(three[1].ask("caches._log.membership.processes.living()")) == 2)
    wait_until(lambda: three[1].ask("caches._log.membership.processes._words[69632 // 8]") == 0, 10)
    stats = three[1].ask("caches.stats().services['shop']")
    assert (stats.hits, stats.loads, stats.current_size) == (7, 12, 9)
    assert three[2].ask("cache.clear().entries_cleared") == 9


def test_the_counts_of_a_process_that_ended_well_are_kept_whole(three):
    three[0].do("for _ in range(7): cache.get('a-0')\ncaches.close()")
    stats = three[1].ask("caches.stats().services['shop']")
    assert (stats.hits, stats.loads, stats.current_size) == (7, 12, 9)


def test_the_place_of_a_killed_process_is_given_to_the_next(three, start):
    place = three[1].ask("caches._log.membership.place.number")
    three[1].kill()
    fourth = start()
    assert fourth.ask("caches._log.membership.place.number") == place
    assert fourth.ask("cache.stats().loads") <= 12
    assert fourth.ask("cache.stats().current_size") == 8


def test_processes_are_listed_with_pid_age_and_entries(three, open_manager):
    caches = open_manager()
    listed = caches.processes()
    assert [process.pid for process in listed] == [*[each.pid for each in three], os.getpid()]
    assert [process.entries for process in listed] == [3, 4, 5, 0]
    assert [process.since for process in listed] == sorted(process.since for process in listed)
    three[0].kill()
    assert [process.pid for process in caches.processes()] == [three[1].pid, three[2].pid, os.getpid()]
    three[1].do("caches.close()")
    assert [process.pid for process in caches.processes()] == [three[2].pid, os.getpid()]


def test_a_process_that_is_stopped_delays_an_answer_and_does_not_spoil_it(three):
    three[0].do("for _ in range(3): cache.get('a-0')")
    assert three[1].ask("caches.stats().services['shop'].hits") == 3
    three[0].stop()
    assert three[1].ask("caches.stats().services['shop'].hits") == 3
    assert three[1].ask("cache.clear().entries_cleared") == 12
    three[0].resume()
    assert three[0].ask("cache.get('a-0')") is None


def test_two_managers_of_one_process_count_as_two(open_manager):
    one, other = open_manager(), open_manager()
    one.service("shop").set("k", 1)
    other.service("shop").set("j", 1)
    assert [process.pid for process in one.processes()] == [os.getpid()] * 2
    assert one.service("shop").stats().current_size == 2
    assert other.clear("shop").entries_cleared == 2
    assert one.service("shop").get("k") is None


def test_load_times_are_sums_too_and_those_of_a_killed_process_stay(three):
    three[0].do(SLOW)
    three[1].do(SLOW)
    times = three[2].ask("caches.stats().services['shop'].load_times")
    assert times.total == 14
    assert sum(times.counts[8:]) == 2
    three[0].kill()
    assert three[2].ask("caches.stats().services['shop'].load_times") == times


def test_a_history_shows_what_other_processes_did(three):
    three[2].do("caches.sample()")
    three[0].do("for _ in range(10): cache.get('a-0')")
    three[2].do("stats = caches.figures()['shop']\nrecent = caches.history.recent('shop', stats)\n")
    assert three[2].ask("(recent.reads, recent.hits)") == (10, 10)
