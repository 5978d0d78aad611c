"""Damage a store's file at random, and read what the check accepted."""

from __future__ import annotations

import functools
import random
import shutil
import subprocess
import sys
from pathlib import Path

from cenote.stores.lmdb import LmdbStore
from cenote.stores.lmdb_check import check
from cenote.stores.stored import StoredEntry

COUNT = 2000
READ = """
import sys
from cenote.stores.lmdb import LmdbStore
from cenote.errors import StoreError
store = LmdbStore(sys.argv[1], "ns", max_bytes=1 << 24)
right = 0
for number in range(2000):
    try:
        entry = store.find("users", 3, f"key:{number}")
    except StoreError:
        continue
    if entry is not None:
        assert entry.payload == str(number).encode() * 20, number
        right += 1
print(right)
"""


def filled(path: Path) -> Path:
    path.mkdir(mode=0o700)
    store = LmdbStore(path, "ns", max_bytes=1 << 24)
    for number in range(COUNT):
        store.put(
            "users",
            3,
            StoredEntry(
                f"key:{number}",
                number,
                hard_until=4e9 if number % 3 else float("inf"),
                tags=frozenset({"even"} if number % 2 == 0 else ()),
                payload=str(number).encode() * 20,
            ),
            sequence=number,
        )
    store.sync()
    store.close()
    return path


@functools.cache
def pages_of(sound: Path) -> bytes:
    """The part of a file that holds pages; what the map reserves behind it is a hole."""
    pages = (sound / "data.mdb").read_bytes().rstrip(b"\0")
    return pages + bytes(-len(pages) % 4096)


def damaged(sound: Path, path: Path, chance: random.Random) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    data = bytearray(pages_of(sound))
    if chance.random() < 0.15:
        del data[chance.randrange(len(data)) :]
    else:
        # Half of the flips hit the few bytes that steer: heads of pages and the two first pages.
        for _ in range(chance.choice([1, 1, 2, 8])):
            place = chance.randrange(len(data))
            if chance.random() < 0.5:
                place = place - place % 4096 + chance.randrange(64)
            if chance.random() < 0.1:
                place = chance.randrange(8192) % 4096 % 200 + chance.choice([0, 4096])
            data[place] ^= 1 << chance.randrange(8)
    (path / "data.mdb").write_bytes(data)
    return path


def judge(sound: Path, path: Path, seed: int) -> tuple[str | None, str]:
    """The verdict on one damaged copy, and what a child that trusts the verdict makes of it."""
    damaged(sound, path, random.Random(seed))
    verdict = check(path, 20.0)
    if verdict is not None:
        return verdict, "refused"
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False)
    return None, done.stdout.strip() if done.returncode == 0 else f"WRONG {done.returncode} {done.stderr[-300:]}"
