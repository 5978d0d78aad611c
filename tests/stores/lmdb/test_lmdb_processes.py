"""Several processes, forks and threads over one file, and how the store is opened."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from cenote.errors import ConfigurationError, MissingExtraError, StoreError, StoreFullError
from cenote.stores import lmdb_env
from cenote.stores.lmdb import LmdbStore
from cenote.stores.lmdb_check import check
from cenote.stores.stored import StoredEntry

READER = """
import sys
from cenote.stores.lmdb import LmdbStore
store = LmdbStore(sys.argv[1], "ns", max_bytes=1 << 22)
print("ready", flush=True)
found = 0
while True:
    for number in range(50):
        entry = store.find("", 0, str(number))
        if entry is not None:
            found += 1
            assert entry.identifier == str(number)
            turn, _, body = entry.payload.partition(b":")
            assert int(turn) == entry.birth and set(body) == {entry.birth % 256}, entry.birth
            assert len(body) == 1 + entry.birth * 37 % 9000
    if store.find("", 0, "end") is not None:
        break
assert found
print("right")
"""


@pytest.fixture
def store(tmp_path: Path):
    store = LmdbStore(tmp_path, "ns", max_bytes=1 << 22)
    yield store
    store.close()


def write(store: LmdbStore, number: int) -> None:
    body = bytes([number % 256]) * (1 + number * 37 % 9000)
    store.put("", 0, StoredEntry(str(number % 50), number, payload=b"%d:" % number + body), sequence=number)


def in_child(work) -> None:
    """Runs something in a forked child that ends as a program does, and expects that it went well."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_readers_in_other_processes_see_whole_values_while_one_writes(store: LmdbStore, tmp_path: Path) -> None:
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"
    for number in range(20_000):
        write(store, number)
    store.put("", 0, StoredEntry("end"), sequence=20_000)
    for reader in readers:
        assert reader.communicate()[0] == "right\n"
        assert reader.returncode == 0
    assert check(tmp_path, 20.0) is None


def test_threads_read_while_one_writes(store: LmdbStore) -> None:
    wrong = []

    def read() -> None:
        while store.find("", 0, "end") is None:
            for number in range(50):
                entry = store.find("", 0, str(number))
                if entry is not None and int(entry.payload.partition(b":")[0]) != entry.birth:
                    wrong.append(entry)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        write(store, number)
    store.put("", 0, StoredEntry("end"), sequence=2000)
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_child_opens_the_file_anew_and_both_go_on(store: LmdbStore) -> None:
    write(store, 1)

    def work() -> None:
        store.after_fork()
        assert store.find("", 0, "1").birth == 1
        write(store, 2)
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.find("", 0, "1")

    in_child(work)
    assert store.find("", 0, "2").birth == 2
    write(store, 3)
    in_child(lambda: (store.after_fork(), write(store, 4)))
    assert store.find("", 0, "4").birth == 4


def test_a_child_that_ends_does_not_disturb_a_read_of_its_parent(store: LmdbStore, tmp_path: Path) -> None:
    """The snapshot must stay registered, or the writer would put new pages where it is being read."""
    write(store, 1)
    env, tables = store._open()
    reading = env.begin(db=tables.entries)
    before = env.readers()
    code = (
        "import os, sys\n"
        "from cenote.stores.lmdb import LmdbStore\n"
        "store = LmdbStore(sys.argv[1], 'ns', max_bytes=1 << 22)\n"
        "env, tables = store._open()\n"
        "reading = env.begin(db=tables.entries)\n"
        "before = env.readers()\n"
        "pid = os.fork()\n"
        "if pid:\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "    assert env.readers() == before, env.readers()\n"
        "    reading.abort()\n"
        "    assert store.find('', 0, '1').birth == 1\n"
        "else:\n"
        "    if sys.argv[2] == 'use':\n"
        "        store.after_fork()\n"
        "        assert store.find('', 0, '1').birth == 1\n"
    )
    for way in ("use", "leave"):
        command = [sys.executable, "-c", code, str(tmp_path), way]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert env.readers() == before
    reading.abort()


def test_stores_of_one_directory_share_one_environment(store: LmdbStore, tmp_path: Path) -> None:
    other = LmdbStore(tmp_path / ".." / tmp_path.name, "other", max_bytes=1 << 20, map_size=4 * (1 << 22) + (16 << 20))
    assert other._open()[0] is store._open()[0]
    other.put("", 0, StoredEntry("k"), sequence=1)
    other.close()
    other.close()
    store.put("", 0, StoredEntry("k"), sequence=1)
    assert store.find("", 0, "k") is not None
    with pytest.raises(ConfigurationError, match="map_size"):
        LmdbStore(tmp_path, "other", max_bytes=1, map_size=1 << 22)


def test_the_file_is_for_its_owner_alone(store: LmdbStore, tmp_path: Path) -> None:
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "data.mdb": 0o600,
        "lock.mdb": 0o600,
    }


def test_what_was_written_survives_the_last_close(tmp_path: Path) -> None:
    for number in range(3):
        store = LmdbStore(tmp_path, "ns", max_bytes=1 << 22)
        assert store.count("", 0)[0] == number
        write(store, number)
        store.close()


def test_an_entry_read_lately_is_spared_once(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, "ns", max_bytes=10_000)
    for number in range(200):
        store.put("", 0, StoredEntry(str(number), payload=b"x" * 400), sequence=number)
        kept = store.find("", 0, "0")
        assert kept is not None
    assert store.find("", 0, "150") is None
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, "ns", max_bytes=1 << 22)
    store.close()
    for ask in (
        lambda: store.find("", 0, "k"),
        lambda: store.put("", 0, StoredEntry("k"), sequence=1),
        lambda: store.count("", 0),
        lambda: store.sweep(1),
        lambda: store.stamp,
        store.sync,
    ):
        with pytest.raises(StoreError, match="closed"):
            ask()


def test_a_directory_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a directory"):
        LmdbStore(tmp_path / "none", "ns", max_bytes=1 << 20)


@pytest.mark.parametrize(
    "wrong",
    [{"namespace": ""}, {"namespace": "n" * 129}, {"max_bytes": 0}, {"map_size": 4096}],
    ids=str,
)
def test_arguments_that_cannot_be_used_are_refused(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ConfigurationError):
        LmdbStore(tmp_path, **{"namespace": "ns", "max_bytes": 1 << 20, **wrong})


@pytest.mark.parametrize("cache", ["a\0b", "c" * 256])
def test_a_cache_name_that_has_no_room_in_a_key_is_refused(store: LmdbStore, cache: str) -> None:
    with pytest.raises(StoreFullError, match="cache name"):
        store.put(cache, 0, StoredEntry("k"), sequence=1)


def test_without_its_package_the_store_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_env, "lmdb", None)
    with pytest.raises(MissingExtraError, match=r"The LMDB store .*cenote\[lmdb\]"):
        LmdbStore(tmp_path, "ns", max_bytes=1 << 20)


def test_the_stores_package_does_not_import_lmdb() -> None:
    code = "import sys, cenote, cenote.stores; sys.exit('lmdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_slots_of_killed_readers_are_given_back(store: LmdbStore, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from cenote.stores.lmdb import LmdbStore\n"
        "env, tables = LmdbStore(sys.argv[1], 'ns', max_bytes=1 << 22)._open()\n"
        "reads = [env.begin() for _ in range(1000)]\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    env, _ = store._open()
    held = []
    with pytest.raises(lmdb.ReadersFullError):
        held.extend(env.begin() for _ in range(1024))
    assert store.find("", 0, "k") is None
    held.extend(env.begin() for _ in range(990))

    def go_on() -> None:
        while True:
            assert store.find("", 0, "k") is None
            held.append(env.begin())

    with pytest.raises(StoreError, match="reads under way"):
        go_on()


def test_two_long_identifiers_of_one_digest_never_answer_for_each_other(
    store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SameDigest:
        def digest(self) -> bytes:
            return b"d" * 16

    monkeypatch.setattr("cenote.stores.lmdb_keys.blake2b", lambda *_, **__: SameDigest())
    one, other = "x" * 600 + "1", "x" * 600 + "2"
    store.put("", 0, StoredEntry(one, payload=b"1"), sequence=1)
    assert store.find("", 0, other) is None
    assert store.remove("", 0, other, sequence=2) is False
    assert store.find("", 0, one).payload == b"1"
    store.put("", 0, StoredEntry(other, payload=b"2"), sequence=3)
    assert store.find("", 0, one) is None
    assert store.count("", 0)[0] == 1
