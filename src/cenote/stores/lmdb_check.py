"""Checks of an LMDB file that may be damaged, made in a process of their own.

::

    python -m cenote.stores.lmdb_check DIRECTORY

LMDB trusts its file: a damaged tree can crash the process that walks it, or lead it in a circle. So a child walks all
of it, and its crash is an answer like any other. Nobody may write meanwhile: hold the machine-wide lock.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from cenote.entry import FOREVER
from cenote.errors import CenoteError
from cenote.stores.lmdb_batch import COUNTS, STAMP, STAMP_KEY, TURN
from cenote.stores.lmdb_env import MAX_DATABASES, MAX_READERS, TABLES, lmdb
from cenote.stores.lmdb_keys import due_key, entry_key, place_of, tag_key
from cenote.stores.stored import terms_of, unpack

__all__ = ["check", "compare", "discard", "verify"]

FILES: Final = ("data.mdb", "lock.mdb")


def check(path: str | os.PathLike[str], timeout: float) -> str | None:  # not asynchronous
    """Judge the file of a directory in a child process.

    Args:
        path: The directory.
        timeout: Seconds after which a check that has not ended is a failed one.

    Returns:
        Why the file cannot be used, or None: it is sound, or there is none yet.
    """
    if not (Path(path) / FILES[0]).exists():
        return None
    command = [sys.executable, "-m", __name__, os.fspath(path)]
    places = os.pathsep.join(place for place in sys.path if place)
    try:
        done = subprocess.run(  # noqa: S603  # this very module
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "PYTHONPATH": places},
        )
    except subprocess.TimeoutExpired:
        return f"its check did not end within {timeout:g} seconds"
    if done.returncode < 0:
        return f"its check crashed with signal {-done.returncode}"
    if done.returncode:
        return (done.stdout.strip() or done.stderr.strip() or f"its check ended with code {done.returncode}")[-500:]
    return None


def discard(path: str | os.PathLike[str]) -> None:
    """Remove the file of a directory, for a fresh start; no process may have it open."""
    for name in FILES:
        (Path(path) / name).unlink(missing_ok=True)


def verify(path: str | os.PathLike[str]) -> str | None:
    """Walk the whole file of a directory; run this in a process that may crash.

    Returns:
        What is wrong with it, or None.
    """
    try:
        return _structure(Path(path)) or _contents(Path(path))
    except (lmdb.Error, CenoteError, OSError, ValueError, struct.error, KeyError, MemoryError) as error:
        return f"it cannot be read: {type(error).__name__}: {error}"


def _structure(path: Path) -> str | None:
    """Check the pages by themselves, where the installed lmdb knows how to."""
    try:
        from lmdb import verify as pages  # noqa: PLC0415  # only the releases from 3.0 on have it
    except ImportError:
        return None
    try:
        problems = pages.verify(os.fspath(path))  # type: ignore[no-untyped-call]  # lmdb's own, untyped
    except pages.VerifyError as error:
        return str(error)
    return str(problems[0]) if problems else None


def _contents(path: Path) -> str | None:
    env = lmdb.open(os.fspath(path), readonly=True, max_dbs=MAX_DATABASES, max_readers=MAX_READERS)
    with env:
        used = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        there = (path / FILES[0]).stat().st_size
        # A file of which nothing was written yet has no more than its first two pages.
        if there < used:
            return f"the file is cut off: {there} bytes of {used}"
        with env.begin() as txn, txn.cursor() as cursor:
            names = [bytes(name).decode() for name in cursor.iternext(keys=True, values=False)]
        spaces = sorted({name.rpartition("/")[0] for name in names})
        if sorted(names) != sorted(f"{space}/{table}" for space in spaces for table in TABLES):
            return "its databases are not those of a store"
        for space in spaces:
            tables = {table: env.open_db(f"{space}/{table}".encode(), create=False) for table in TABLES}
            with env.begin() as txn:
                wrong = compare(txn, tables)
            if wrong is not None:
                return f"namespace {space}: {wrong}"
    return None


def compare(txn: Any, tables: dict[str, Any]) -> str | None:
    """Compare the entries of a namespace with its index rows and counters; return what does not fit, or None."""
    counts: dict[bytes, tuple[int, int]] = {}
    rows = dict.fromkeys(("entries", "order", "expiry", "tags"), 0)
    last = -1
    with txn.cursor(db=tables["entries"]) as cursor:
        for key, data in cursor:
            entry = unpack(data, key)
            place = place_of(key)[1]
            turn = terms_of(data)[2]
            row = TURN.pack(turn)
            if entry_key(place, entry.identifier) != key:
                return f"{entry.identifier[:80]!r} stands under another key"
            if txn.get(row, db=tables["order"]) != key:
                return f"{entry.identifier[:80]!r} has no turn"
            if entry.hard_until != FOREVER:
                rows["expiry"] += 1
                if txn.get(due_key(entry.hard_until, turn), db=tables["expiry"]) != place:
                    return f"{entry.identifier[:80]!r} is not in the expiry index"
            for tag in entry.tags:
                rows["tags"] += 1
                if txn.get(tag_key(place, tag) + row, db=tables["tags"]) is None:
                    return f"{entry.identifier[:80]!r} is not in the index of its tags"
            entries, size = counts.get(place, (0, 0))
            counts[place] = entries + 1, size + len(key) + len(data)
            last = max(last, turn)
            rows["entries"] += 1
    rows["order"] = rows["entries"]
    for table, expected in rows.items():
        found = _rows(txn, tables[table])
        if found != expected:
            return f"{found} rows in {table}, not {expected}"
    return _counters(txn, tables["meta"], counts, last)


def _rows(txn: Any, table: Any) -> int:
    with txn.cursor(db=table) as cursor:
        return sum(1 for _ in cursor.iternext(keys=True, values=False))


def _counters(txn: Any, meta: Any, counts: dict[bytes, tuple[int, int]], last: int) -> str | None:
    with txn.cursor(db=meta) as cursor:
        rows = dict(iter(cursor))
    stamp = rows.pop(STAMP_KEY, None)
    if {place: COUNTS.unpack(row) for place, row in rows.items()} != counts:
        return "its counters do not fit"
    if stamp is None:
        return "its stamp is missing" if counts else None
    _, turn, entries, size = STAMP.unpack_from(stamp)
    stamp[STAMP.size :].decode()
    if (entries, size) != (sum(n for n, _ in counts.values()), sum(n for _, n in counts.values())) or turn <= last:
        return "its sums do not fit"
    return None


if __name__ == "__main__":
    wrong = verify(sys.argv[1])
    if wrong is not None:
        sys.exit(f"cannot be used: {wrong}")
