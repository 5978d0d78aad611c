"""Processes die and stop, disks fill up, files are damaged, set back and taken away: nothing old is ever served."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import random
import shutil
import threading
import time

import pytest
from tests.machine.processes import Process, forked
from tests.mounts import mounted_in_memory
from tests.waiting import wait_until

from cenote import CacheManager, ClearFailedError
from cenote.errors import ConfigurationError, StoreError
from cenote.invalidation.machine.lock import LOCK_SECONDS
from cenote.stores.lmdb_check import check

from .conftest import equipped

SMALL = "?max_bytes=1048576"
"""The file is as long as its map may become, so a small one is copied in no time."""

BUSY = """
import random
numbers = random.Random({seed})
def work(done):
    while True:
        key = f"k{{numbers.randrange(20)}}"
        chance = numbers.random()
        if chance < 0.5:
            cache.set(key, (key, "x" * numbers.randrange(2000)), tags=["t"])
        elif chance < 0.8:
            cache.get_or_load(key, lambda: (key, "loaded"), tags=["t"])
        elif chance < 0.9:
            cache.delete(key)
        elif chance < 0.95:
            cache.invalidate_tags("t")
        else:
            cache.clear()
        done()
"""


def kill_a_child_at_work(cache, seed, changes):
    """Fork a child that changes everything, and kill it in the midst of it, once it has made so many changes."""
    heard, said = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            names = {"cache": cache}
            exec(BUSY.format(seed=seed), names)
            names["work"](lambda: os.write(said, b"."))
        finally:
            os._exit(1)
    os.close(said)
    while changes > 0:
        made = len(os.read(heard, changes))
        assert made, "it has ended by itself"
        changes -= made
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(heard)


@pytest.mark.long
def test_two_hundred_kills_leave_a_sound_file_and_no_wrong_value(url, directory, unattended):
    chances = random.Random(5)
    with CacheManager(url + SMALL) as caches:
        cache = caches.service("shop")
        for kill in range(200):
            kill_a_child_at_work(cache, kill, chances.randrange(1, 40))
            key = f"k{kill % 20}"
            value = cache.get(key)
            assert value is None or value[0] == key
            cache.set(key, (key, kill))
            assert tuple(cache.get(key)) == (key, kill)
        head = caches._log.head
        assert head > 400, "most were killed before they had changed anything"
        listed = cache.keys()
        assert all(cache.get(key)[0] == key for key in listed)
        assert cache.clear().level == "machine"
        assert cache.keys() == []
    assert check(directory, 30) is None


@pytest.mark.parametrize(
    ("begin", "left"),
    [
        (lambda cache: cache.invalidate_tags("t"), []),
        (lambda cache: cache.clear(prefix="k").entries_cleared, []),
        (lambda cache: cache.clear(tags=["t"], dry_run=True).entries_cleared, ["k"]),
    ],
)
def test_a_forked_child_may_begin_with_an_invalidation_by_tags_or_a_prefix(url, begin, left):
    with CacheManager(url) as caches:
        cache = caches.service("shop")
        cache.set("k", 1, tags=["t"])
        assert forked(lambda: begin(cache) - 1) == 0
        assert cache.keys() == left


@pytest.mark.parametrize("scope", [{"tags": ["t"]}, {"prefix": "k"}])
def test_an_invalidation_claims_nothing_where_the_log_cannot_be_read(open_manager, monkeypatch, scope):
    caches = equipped(open_manager())
    caches.shop.set("k", "there", tags=["t"])
    core = caches.shop._core

    def fail(self):
        raise ClearFailedError("damaged", "none")

    with monkeypatch.context() as patch:
        patch.setattr(type(core), "_obey_records", fail)
        with pytest.raises(ClearFailedError, match="cannot read the log"):
            caches.shop.clear(**scope)
    assert caches.shop.get("k") == "there"


HOLD = """
from cenote.stores.lmdb import LmdbStore
put = LmdbStore._put
def held(self, *arguments):
    connection.send("inside")
    connection.recv()
    return put(self, *arguments)
LmdbStore._put = held
cache.set("theirs", 1)
"""


def test_a_process_that_is_stopped_inside_a_write_keeps_nobody_from_reading_and_heals(open_manager, start):
    caches = equipped(open_manager())
    caches.shop.set("k", "there")
    caches.shop.get("k")
    other = start()
    other.tell(HOLD)
    assert other.receive() == "inside"
    other.stop()
    took = {}

    def call(name, action):
        begin = time.monotonic()
        try:
            action()
        except ClearFailedError as error:
            took[name] = (time.monotonic() - begin, error)

    actions = {"set": lambda: caches.shop.set("j", 1), "clear_all": caches.clear_all}
    threads = [threading.Thread(target=call, args=item) for item in actions.items()]
    for thread in threads:
        thread.start()
    assert caches.shop.get("k") == "there"
    loaded = []
    loading = threading.Thread(target=lambda: loaded.append(caches.loaded(1)))
    loading.start()
    for thread in [*threads, loading]:
        thread.join(20)
    assert took.keys() == actions.keys()
    assert all(seconds < 2 * LOCK_SECONDS for seconds, _ in took.values()), took
    assert loaded == ["old"]
    other.resume()
    other.send("go on")
    other.answer()
    assert caches.shop.clear().level == "machine"
    assert other.ask("cache.get('k')") is None


def fill_up(write):
    """Write until that fails."""
    for number in itertools.count():
        write(number)


@pytest.mark.mounts
def test_a_full_disk_refuses_what_is_set_and_goes_on_reading(tmp_path, unattended):
    place = tmp_path / "small"
    place.mkdir()
    with mounted_in_memory(place, "size=48m,mode=700"), CacheManager(f"lmdb://{place}") as caches:
        cache = caches.service("shop")
        cache.set("k", "there")
        filling = os.open(place / "filling", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="space"):
            fill_up(lambda _: os.write(filling, b"\0" * 65536))
        os.close(filling)
        with pytest.raises(StoreError):
            fill_up(lambda number: cache.set(f"n{number}", os.urandom(100_000)))
        assert cache.get("k") == "there"
        assert cache.get("n0") is not None
        (place / "filling").unlink()
        cache.set("after", 1)
        assert cache.clear().level == "machine"
        assert cache.keys() == []


def test_a_directory_that_cannot_be_written_to_is_refused(tmp_path):
    with pytest.raises(ConfigurationError):
        CacheManager("lmdb:///proc/cenote")


def truncate(data):
    return data[: len(data) // 2 // 4096 * 4096]


def flip(data):
    damaged = bytearray(data)
    chances = random.Random(1)
    used = len(bytes(data).rstrip(b"\0"))
    for _ in range(300):
        damaged[chances.randrange(used)] ^= 1 << chances.randrange(8)
    return damaged


@pytest.mark.parametrize("damage", [truncate, flip, lambda data: b"garbage " * 5000], ids=["cut", "flipped", "garbage"])
def test_a_file_that_is_damaged_at_the_start_begins_empty_and_is_warned_of(url, directory, unattended, caplog, damage):
    def value(number):
        return [number, "x" * 200]

    with CacheManager(url + SMALL) as caches:
        for number in range(300):
            caches.service("shop").set(f"k{number}", value(number))
    data = directory / "data.mdb"
    used = data.read_bytes().rstrip(b"\0")
    data.write_bytes(damage(used + b"\0" * (-len(used) % 4096)))
    with caplog.at_level(logging.WARNING, "cenote"), CacheManager(url + SMALL) as caches:
        cache = caches.service("shop")
        assert "begins empty" in caplog.text
        assert all(cache.get(f"k{number}") is None for number in range(300))
        cache.set("k", 1)
        assert cache.get("k") == 1


CHANGES = {
    "set": lambda caches: caches.shop.set("k", "new"),
    "delete": lambda caches: caches.shop.delete("k"),
    "tags": lambda caches: caches.shop.invalidate_tags("t"),
    "prefix": lambda caches: caches.shop.clear(prefix="k"),
    "clear": lambda caches: caches.shop.clear(),
    "clear_all": lambda caches: caches.clear_all(),
    "soft-tags": lambda caches: caches.shop.clear(mode="soft", tags=["t"]),
    "soft": lambda caches: caches.shop.clear(mode="soft"),
    "refresh": lambda caches: (setattr(caches, "value", "new"), caches.loaded.refresh(1)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["data.mdb", "cenote.cenote"])
def test_nothing_that_was_invalidated_is_served_after_one_of_the_files_was_set_back(
    url, directory, unattended, change, name
):
    with CacheManager(url + SMALL) as caches:
        equipped(caches).loaded(1)
        caches.shop.set("k", "old", tags=["t"])
        shutil.copyfile(directory / name, directory / "aside")
        CHANGES[change](caches)
    with (directory / name).open("r+b") as file:
        file.write((directory / "aside").read_bytes())
    with CacheManager(url + SMALL) as caches:
        equipped(caches)
        if change == "refresh":
            assert caches.shop.get("loaded(1)") in (None, "new")
        else:
            assert caches.shop.get("k") in (None, "new")


def test_processes_go_on_in_a_new_incarnation_when_the_log_is_removed(start, path):
    one, other = start(), start()
    one.do("cache.set('k', 'old')")
    assert other.ask("cache.get('k')") == "old"
    before = one.ask("caches._log.incarnation")
    path.unlink()
    asked = f"caches._log.connected and caches._log.incarnation != {before!r}"
    for process in (one, other):
        wait_until(lambda process=process: process.ask(asked), 3.0)
    assert one.ask("cache.get('k')") is None
    assert other.ask("cache.get('k')") is None
    one.do("cache.set('k', 'new')")
    assert other.ask("cache.get('k')") == "new"
    other.do("cache.delete('k')")
    assert one.ask("cache.get('k')") is None


def test_a_store_that_is_removed_underneath_takes_no_more_and_nobody_opens_another_one(pair, directory, url, start):
    one, other = pair
    one.shop.set("k", "there")
    (directory / "data.mdb").unlink()
    for action in (lambda: one.shop.set("k", 1), lambda: other.shop.delete("k")):
        with pytest.raises(StoreError):
            action()
    for clear in (one.shop.clear, lambda: one.shop.clear(prefix="k")):
        with pytest.raises(ClearFailedError) as failed:
            clear()
        assert failed.value.level == "none"
    process = Process()
    try:
        process.do("from cenote import CacheManager")
        with pytest.raises(ConfigurationError, match="was removed"):
            process.ask(f"CacheManager({url!r})")
    finally:
        process.end()

    def child():
        return 0 if one.shop.get("k") is None and not (directory / "data.mdb").exists() else 1

    assert forked(child) == 0


def test_a_forked_child_works_and_its_parent_goes_on_reading(open_manager):
    cache = open_manager().service("shop")
    cache.set("k", "parent's")
    cache.get("k")

    def child():
        assert cache.get("k") == "parent's"
        cache.set("k", "child's")
        return 0 if cache.get_or_load("j", lambda: 1) == 1 else 1

    assert forked(child) == 0
    assert cache.get("k") == "child's"
    assert cache.get("j") == 1
    assert cache.clear().entries_cleared == 2


CHILD = """
from cenote import CacheManager
with CacheManager({url!r}) as caches:
    assert caches.service("shop").get("k") == "parent's"
    assert caches.clear("shop").entries_cleared == 1
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_of_multiprocessing_shares_the_entries_however_it_was_started(open_manager, url, method):
    cache = open_manager().service("shop")
    cache.set("k", "parent's")
    child = multiprocessing.get_context(method).Process(target=exec, args=(CHILD.format(url=url),))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert cache.get("k") is None


def test_workers_of_a_preloaded_server_share_what_they_load(open_manager):
    cache = open_manager().service("shop")
    heard, said = os.pipe()

    def worker(number):
        value = cache.get_or_load("k", lambda: os.write(said, b"x") and "loaded")
        assert value == "loaded"
        cache.set(f"w{number}", number)
        return 0

    assert [forked(lambda number=number: worker(number)) for number in range(3)] == [0, 0, 0]
    os.close(said)
    with os.fdopen(heard, "rb") as pipe:
        assert pipe.read() == b"x"
    assert cache.keys() == ["k", "w0", "w1", "w2"]


def test_another_limit_is_refused_beside_others_and_accepted_when_alone(url, unattended, start):
    other = start(url=url + SMALL)
    with pytest.raises(ConfigurationError, match="max_bytes"):
        CacheManager(url)
    other.end()
    with CacheManager(url) as caches:
        assert caches.service("shop").clear().level == "machine"
