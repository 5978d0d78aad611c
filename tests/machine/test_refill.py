"""Refills over processes: everybody who obeys a paced clear paces its loads, and all of them together keep the rate."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

from cenote import Refill
from cenote.invalidation.log import LET_GO, Record, RecordKind
from cenote.invalidation.machine.layout import Word
from cenote.invalidation.machine.ring import drafts, refill_of
from cenote.refills import RefillOrder

READ = "cache.get_or_load('warm', lambda: 1)"

BUSY = """
import threading, time
loads = []
def reader(part):
    for number in range(100):
        cache.get_or_load(f"{part}-{number}", lambda: loads.append(time.monotonic()))
readers = [threading.Thread(target=reader, args=(part,), daemon=True) for part in range(4)]
"""


@pytest.fixture
def two(start):
    """Two processes that have read the cache and said so."""
    processes = [start("from cenote import Refill\n" + READ) for _ in range(2)]
    for process in processes:
        process.do("caches.stats()")
    return processes


def test_all_processes_together_load_at_the_rate(two):
    one, _ = two
    for process in two:
        process.do(BUSY)
    one.do("cache.clear(refill=Refill(40, wait_seconds=60))")
    began = one.ask("now()") / 1e9
    for process in two:
        process.do("for each in readers: each.start()")
    wait_until(lambda: sum(process.ask("len(loads)") for process in two) >= 60)
    loads = [process.ask("loads") for process in two]
    assert all(loads)
    # Each may be a tenth of a second ahead, which is two loads. A machine that is slow makes this take longer only.
    assert sorted(loads[0] + loads[1])[59] - began >= (60 - 5) / 40


def test_a_process_that_obeys_a_clear_lets_its_own_hottest_keys_through_first(two):
    one, other = two
    other.do("for _ in range(5): cache.get_or_load('hot', lambda: 1)")
    other.do("order = []")
    other.do(
        """
        import threading
        def load(key):
            threading.Thread(target=cache.get_or_load, args=(key, lambda: order.append(key)), daemon=True).start()
        """
    )
    one.do("cache.clear(refill=Refill(0.001, wait_seconds=600))")
    assert other.ask("cache.get('hot')") is None
    for number, key in enumerate(("cold", "colder", "hot"), 1):
        other.do(f"load({key!r})")
        wait_until(lambda number=number: other.ask("cache._core.pace.status().waiting") == number)
    other.do("cache._core.pace._tokens = 1.0; cache._core.pace._change.set()")
    wait_until(lambda: other.ask("order"))
    assert other.ask("order") == ["hot"]


def test_loads_wait_in_other_processes_and_old_values_are_gone_there_at_once(two):
    one, other = two
    other.do("import threading; done = []")
    receipt = one.ask("cache.clear(refill=Refill(0.001, wait_seconds=600)).clear_id")
    assert other.ask("cache.get('warm')") is None
    other.do("threading.Thread(target=lambda: done.append(cache.get_or_load('warm', lambda: 2)), daemon=True).start()")
    wait_until(lambda: other.ask("cache.refill.waiting") == 1)
    assert other.ask("cache.refill.clear_id") == receipt
    assert other.ask("cache.refill.rate") == 0.001
    assert other.ask("done") == []
    # The next clear ends it there too, and whoever waited looks again.
    one.do("cache.clear()")
    wait_until(lambda: other.ask("done") == [2])
    assert other.ask("cache.refill.ended_by") == "cleared"


@pytest.mark.parametrize("clear", ["cache.clear", "caches.clear_all"])
def test_whoever_stops_a_refill_stops_it_everywhere(two, clear):
    one, other = two
    one.do(f"{clear}(refill=Refill(0.001, wait_seconds=600))")
    assert other.ask("cache.get('k')") is None
    other.do("import threading; done = []")
    other.do("threading.Thread(target=lambda: done.append(cache.get_or_load('k', lambda: 2)), daemon=True).start()")
    wait_until(lambda: other.ask("cache.refill.waiting") == 1)
    assert one.ask("cache.stop_refill()")
    wait_until(lambda: other.ask("done") == [2])
    assert other.ask("cache._core.pace.ended_by") == "stopped"
    assert other.ask("cache.get('k')") == 2
    wait_until(lambda: not one.ask("cache.refill.running"))  # once the other has said so
    assert not one.ask("cache.stop_refill()")
    assert not other.ask("cache.refill.running")


def test_processes_that_share_entries_on_disk_pace_their_loads_and_stop_together(start, directory):
    one, other = (start("from cenote import Refill\n" + READ, url=f"lmdb://{directory}") for _ in range(2))
    for process in (one, other):
        process.do("caches.stats()")
    one.do("cache.clear(refill=Refill(0.001, wait_seconds=600))")
    assert other.ask("cache.get('warm')") is None
    assert other.ask("cache._core.pace.running")
    other.do("import threading; done = []")
    other.do("threading.Thread(target=lambda: done.append(cache.get_or_load('k', lambda: 2)), daemon=True).start()")
    wait_until(lambda: other.ask("cache._core.pace.status().waiting") == 1)
    assert one.ask("cache.stop_refill()")
    wait_until(lambda: other.ask("done") == [2])
    wait_until(lambda: one.ask("cache.get('k')") == 2)


def test_a_process_that_comes_later_takes_part_while_the_refill_goes_on(two, start):
    one, _ = two
    one.do("cache.clear(refill=Refill(0.001, wait_seconds=600, max_seconds=100))")
    late = start()
    assert late.ask("cache._core.pace.running")
    assert 0 <= late.ask("cache._core.pace.status().seconds") < 90
    one.do("cache.stop_refill()")
    assert start().ask("cache._core.pace") is None


@pytest.mark.parametrize(
    "behind", ["cache.clear()", "caches.clear_all()", "cache.clear(refill=Refill(1, max_seconds=1e-9))"]
)
def test_a_process_that_comes_later_does_not_pace_behind_another_clear(two, start, behind):
    one, _ = two
    one.do("cache.clear(refill=Refill(0.001, max_seconds=100))")
    one.do(behind)
    assert start().ask("cache._core.pace") is None


def test_a_forked_child_takes_part_too(two):
    one, _ = two
    one.do("cache.clear(refill=Refill(0.001, wait_seconds=600))")
    one.do(
        """
        import os
        pid = os.fork()
        if not pid:
            cache.get("k")
            os._exit(7 if cache._core.pace is not None and cache._core.pace.running else 8)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """
    )
    assert one.ask("code") == 7


def test_every_process_tells_how_the_refill_goes_on_in_all_of_them(two, start):
    one, _ = two
    looks_on = start()
    looks_on.do("caches.find('shop')")
    one.do("cache.clear(refill=Refill(0.001, wait_seconds=600))")
    for process in two:
        process.do("import threading")
        for number in range(3):
            process.do(f"threading.Thread(target=cache.get_or_load, args=('k{number}', int), daemon=True).start()")
    wait_until(lambda: [each.ask("cache._core.pace.status().waiting") for each in two] == [3, 3])
    # Who does not answer in time is known by what it said last.
    wait_until(lambda: looks_on.ask("(caches.stats(), cache.refill.waiting, cache.refill.running)")[1:] == (6, True))
    assert looks_on.ask("cache.refill.hottest") == one.ask("cache.refill.hottest")
    wait_until(lambda: one.ask("cache.refill.waiting") == 6)


def test_who_does_not_read_a_cache_takes_no_share_of_it(two, start):
    one, other = two
    start("caches.find('shop')")
    one.do("cache.clear(refill=Refill(10))")
    assert one.ask("cache._core.pace.rate") == 5.0
    assert other.ask("cache.get('k'), cache._core.pace.rate")[1] == 5.0
    other.kill()
    wait_until(lambda: one.ask("cache._core.pace._learn(), cache._core.pace.rate")[1] == 10.0)


# What records say


def test_the_record_of_a_clear_carries_the_refill(open_log):
    writer, reader = open_log(), open_log()
    order = RefillOrder(Refill(12.5, 100, 3, "error"), "receipt", 1_000_000.25)
    for kind in (RecordKind.CLEAR, RecordKind.CLEAR_ALL):
        writer.append(Record(kind=kind, refill=order))
        (record,) = reader.since(writer.head - 1)
        assert record.refill == order
    writer.append(Record(kind=RecordKind.CLEAR))
    assert reader.since(writer.head - 1)[0].refill is None


def test_the_record_of_an_older_version_is_read_without_a_refill():
    old = drafts(Record(kind=RecordKind.CLEAR), 3, 216)
    assert [(each.text, refill_of(each)) for each in old] == [(b"", None)]
    later = old[0]._replace(text=b"2 whatever a later version says")
    assert refill_of(later) is None


@pytest.mark.parametrize(
    "text", ["", "1", "1 0 1 1 load 1 x", "1 nan 1 1 load 1 x", "1 1 1 1 load inf x", "1 1 1 1 load"]
)
def test_what_cannot_be_read_of_a_refill_is_none(text):
    assert RefillOrder.read(text) is None


@pytest.mark.parametrize("receipt", ["", "r", "with blanks in it", "\x00", "\ud800", "long" * 100])
def test_an_order_fits_into_a_record_and_comes_back(receipt):
    order = RefillOrder(Refill(1 / 3, 1e6 / 7, 1e5 / 7, "error"), receipt, 1_796_000_000.123456)
    written = order.written()
    assert len(written.encode("utf-8", "surrogatepass")) <= 216
    read = RefillOrder.read(written)
    assert (read.refill, read.begun) == (order.refill, order.begun)
    assert read.clear_id == (receipt if len(receipt) < 100 else "")


def test_a_record_that_lets_go_makes_nothing_old(open_manager, at_once):
    caches = open_manager()
    cache = caches.service("shop")
    cache.set("k", 1, tags=["t"])
    log = caches._log
    log.append(Record(kind=RecordKind.TAGS, cache="shop", covered=LET_GO))
    assert cache.get("k") == 1


def test_the_hint_when_refills_are_over_takes_any_time(open_log):
    log = open_log()
    for begun in (-1e12, 1e300, 5.0):
        log.append(Record(kind=RecordKind.CLEAR, refill=RefillOrder(Refill(1, max_seconds=1), "", begun)))
    assert log.membership.file.words[Word.PACED_UNTIL] == (1 << 64) - 1
