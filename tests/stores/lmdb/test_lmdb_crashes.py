"""Killed writers, damaged files, full disks: what was written stays right, and what is not right is found out."""

import errno
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mounts import mounted_in_memory

from cenote.errors import StoreError, StoreFullError
from cenote.stores.lmdb import LmdbStore
from cenote.stores.lmdb_check import check, discard, verify
from cenote.stores.stored import StoredEntry

from .damage import filled, judge

KILLS = """
import itertools, os, random, signal, sys, time
from cenote.stores.lmdb import LmdbStore
from cenote.stores.lmdb_check import verify
from cenote.stores.stored import StoredEntry

def write(ready):
    store = LmdbStore(sys.argv[1], "ns", max_bytes=200_000, map_size=1 << 24)
    os.write(ready, b".")
    for number in itertools.count():
        name = str(chance.randrange(400))
        generation = number // 500
        tags = frozenset(chance.sample(["red", "blue", "green"], chance.randrange(3)))
        end = time.time() + chance.choice([0.01, 5.0, float("inf")])
        entry = StoredEntry(name, number, hard_until=end, tags=tags, payload=name.encode() * 99)
        store.put("users", generation, entry, sequence=number)
        if number % 5 == 0:
            names = [str(chance.randrange(400)) for _ in range(9)]
            store.remove_many("users", generation, names, before=number, sequence=number)
        if number % 7 == 0:
            store.sweep(20)
            store.reap(lambda cache: generation, 20)

for seed in range(200):
    chance = random.Random(seed)
    reading, ready = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            write(ready)
        finally:
            os._exit(1)
    os.close(ready)
    assert os.read(reading, 1) == b"."
    for _ in range(chance.randrange(300_000)):
        pass
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "the writer failed by itself"
    wrong = verify(sys.argv[1])
    assert wrong is None, (seed, wrong)
"""


@pytest.fixture
def store(tmp_path: Path):
    store = LmdbStore(tmp_path, "ns", max_bytes=1 << 22, map_size=1 << 24)
    yield store
    store.close()


def test_a_writer_killed_at_any_moment_leaves_all_in_order(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLS, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert check(tmp_path, 20.0) is None
    store = LmdbStore(tmp_path, "ns", max_bytes=200_000, map_size=1 << 24)
    for generation in range(100):
        for name in store.matching("users", generation, "", limit=1000):
            entry = store.find("users", generation, name)
            assert entry is None or entry.payload == name.encode() * 99
    store.close()


@pytest.mark.long
@pytest.mark.parametrize("part", range(2))
def test_a_damaged_file_is_refused_or_gives_right_values_only(tmp_path: Path, part: int) -> None:
    sound = filled(tmp_path / "sound")
    assert check(sound, 20.0) is None
    refused = 0
    for seed in range(part * 40, part * 40 + 40):
        verdict, answer = judge(sound, tmp_path / "copy", seed)
        assert not answer.startswith("WRONG"), (seed, answer)
        refused += verdict is not None
    assert refused > 20


def test_a_check_that_crashes_or_hangs_is_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.mdb").touch()
    module = tmp_path / "broken.py"
    module.write_text("import os, sys; os.kill(os.getpid(), 11) if sys.argv[1] == 'crash' else sys.stdin.read()")
    monkeypatch.setattr("cenote.stores.lmdb_check.__name__", "broken")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "crash").mkdir()
    (tmp_path / "crash" / "data.mdb").touch()
    monkeypatch.chdir(tmp_path)
    assert "signal 11" in check("crash", 20.0)
    reading, writing = os.pipe()
    monkeypatch.setattr("subprocess.run", lambda *a, run=subprocess.run, **how: run(*a, stdin=reading, **how))
    assert "0.2 seconds" in check(tmp_path, 0.2)
    os.close(reading)
    os.close(writing)


def test_a_discarded_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"noise" * 9999)
    assert check(tmp_path, 20.0) is not None
    with pytest.raises(StoreError, match=r"data\.mdb"):
        LmdbStore(tmp_path, "ns", max_bytes=1 << 20)
    discard(tmp_path)
    assert check(tmp_path, 20.0) is None
    LmdbStore(tmp_path, "ns", max_bytes=1 << 20).close()
    assert check(tmp_path, 20.0) is None


@pytest.mark.parametrize("wrong", ["turn", "expiry", "tags", "counter", "stamp", "spare row"])
def test_an_index_or_counter_that_does_not_fit_is_found(store: LmdbStore, tmp_path: Path, wrong: str) -> None:
    store.put("", 0, StoredEntry("k", hard_until=4e9, tags=frozenset({"red"})), sequence=1)
    env, tables = store._open()
    table = {"turn": tables.order, "expiry": tables.expiry, "tags": tables.tags}.get(wrong, tables.meta)
    with env.begin(write=True) as txn, txn.cursor(db=table) as cursor:
        if wrong == "stamp":
            cursor.set_key(b"stamp")
        else:
            cursor.first()
        if wrong == "spare row":
            txn.put(b"\0" * 8, b"", db=tables.order, overwrite=False)
            txn.put(b"\1" * 8, b"", db=tables.order)
        else:
            cursor.delete()
    store.close()
    assert verify(tmp_path) is not None


def test_a_full_file_evicts_the_oldest_and_goes_on(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, "ns", max_bytes=1 << 26, map_size=1 << 22)
    evicted = 0
    for number in range(9000):
        size = 30_000 if number % 50 == 0 else 500
        entry = StoredEntry(str(number), number, hard_until=4e9, tags=frozenset({"t"}), payload=b"x" * size)
        evicted += store.put("", 0, entry, sequence=number)
        assert store.find("", 0, str(number)) is not None
    assert evicted == 9000 - store.count("", 0)[0] > 1000
    assert store.find("", 0, "0") is None
    store.sync()
    store.close()
    assert verify(tmp_path) is None


def test_a_value_that_the_file_cannot_take_is_refused_and_the_older_one_stays(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, "ns", max_bytes=1 << 26, map_size=1 << 22)
    store.put("", 0, StoredEntry("k", payload=b"old"), sequence=1)
    for size in (1 << 25, 1 << 18):
        with pytest.raises(StoreFullError, match="raise max_bytes and map_size"):
            store.put("", 0, StoredEntry("k", payload=b"x" * size), sequence=2)
    assert store.find("", 0, "k").payload == b"old"
    assert store.stamp == ("", 1)
    store.put("", 1, StoredEntry("k", payload=b"new"), sequence=3)
    assert store.find("", 1, "k").payload == b"new"
    store.close()


def test_another_namespace_that_holds_the_whole_file_makes_puts_fail_cleanly(tmp_path: Path) -> None:
    greedy = LmdbStore(tmp_path, "greedy", max_bytes=1 << 26, map_size=1 << 22)
    poor = LmdbStore(tmp_path, "poor", max_bytes=1 << 26, map_size=1 << 22)
    for number in range(9000):
        greedy.put("", 0, StoredEntry(str(number), payload=b"x" * 900), sequence=number)
    with pytest.raises(StoreFullError, match="map_size"):
        fill(poor)
    assert poor.count("", 0)[0] > 0
    greedy.put("", 0, StoredEntry("k", payload=b"x" * 900), sequence=1)
    greedy.close()
    poor.close()
    assert verify(tmp_path) is None


def fill(store: LmdbStore) -> None:
    for number in range(9999):
        store.put("", 0, StoredEntry(str(number), number, payload=b"x" * 700), sequence=number)


@pytest.mark.mounts
def test_a_full_disk_is_an_error_that_says_so_and_nothing_is_half_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted_in_memory(disk, "size=8m"):
        store = LmdbStore(disk, "ns", max_bytes=1 << 26, map_size=1 << 26)
        with pytest.raises(StoreError, match="disk of the shared store") as caught:
            fill(store)
        assert not isinstance(caught.value, StoreFullError)
        kept = store.count("", 0)[0]
        assert store.stamp == ("", kept - 1)
        assert store.find("", 0, str(kept)) is None
        assert kept > 100
        assert all(store.find("", 0, str(one)).payload == b"x" * 700 for one in range(kept))
        store.close()
        assert verify(disk) is None


def test_a_file_that_may_not_grow_is_an_error_and_not_a_raw_one(tmp_path: Path) -> None:
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, former[1]))
    try:
        with pytest.raises(StoreError, match=os.strerror(errno.EFBIG)):
            LmdbStore(tmp_path, "ns", max_bytes=1 << 26)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    store = LmdbStore(tmp_path, "ns", max_bytes=1 << 26)
    store.put("", 0, StoredEntry("k", payload=b"x" * 900), sequence=1000)
    store.close()
    assert verify(tmp_path) is None


def test_a_value_that_was_swapped_with_another_is_a_miss(store: LmdbStore) -> None:
    store.put("", 0, StoredEntry("a", payload=b"a"), sequence=1)
    store.put("", 0, StoredEntry("b", payload=b"b"), sequence=2)
    env, tables = store._open()
    place = b"\0" * 9
    with env.begin(write=True, db=tables.entries) as txn:
        txn.put(place + b"a", txn.get(place + b"b"))
    assert store.find("", 0, "a") is None
    assert store.find("", 0, "b").payload == b"b"


def test_a_damaged_entry_is_overwritten_removed_swept_or_evicted_like_any_other(store: LmdbStore) -> None:
    def damage(name: str) -> None:
        env, tables = store._open()
        key = b"\0" * 9 + name.encode()
        with env.begin(write=True, db=tables.entries) as txn:
            data = bytearray(txn.get(key))
            data[chance.randrange(len(data))] ^= 1
            txn.put(key, bytes(data))

    chance = random.Random(1)
    for _ in range(200):
        for name in "abcd":
            store.put("", 0, StoredEntry(name, hard_until=1.0, tags=frozenset({"t"})), sequence=1)
            damage(name)
        assert store.find("", 0, "a") is None
        assert store.remove("", 0, "a", sequence=2) is False
        store.put("", 0, StoredEntry("b"), sequence=3)
        store.sweep(10)
        with store._writing() as batch:
            batch.evict(0)
        assert store.count("", 0) == (0, 0)
        with store._reading() as (txn, tables):
            assert txn.stat(tables.order)["entries"] == 0


def test_a_store_that_is_open_elsewhere_can_be_checked(store: LmdbStore, tmp_path: Path) -> None:
    store.put("", 0, StoredEntry("k"), sequence=1)
    assert check(tmp_path, 20.0) is None
    assert store.find("", 0, "k") is not None
