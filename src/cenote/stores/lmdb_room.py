"""Room in the LMDB file: what is evicted when the file itself, and not the limit of a namespace, becomes full."""

from __future__ import annotations

import struct
from typing import Any, Final

from cenote.stores.lmdb_batch import Batch
from cenote.stores.lmdb_env import Tables, lmdb

__all__ = ["look", "make_room"]

_PAGES: Final = struct.Struct("<8xQQQ")
"""The pages of branches, leaves and long values, in LMDB's own record of a database."""


def look(env: Any, tables: Tables, map_size: int, room: int) -> int:
    """Evict before the file is so full that not even an eviction finds the pages it needs.

    Args:
        env: The environment.
        tables: The namespace that gives way.
        map_size: The limit of the file in bytes.
        room: Bytes that are wanted besides.

    Returns:
        How many entries went.

    Raises:
        lmdb.MapFullError: Other namespaces hold so much that it did not help.
    """
    page = env.stat()["psize"]
    reserve = max(map_size // 8, 1 << 19)
    limit = map_size - reserve - 2 * room
    if (env.info()["last_pgno"] + 1) * page < limit or _used(env) * page <= limit:
        return 0
    gone = make_room(env, tables)
    # What is left belongs to evictions and removals, also those of other namespaces.
    if _used(env) * page > map_size - reserve // 2 - room:
        raise lmdb.MapFullError("no room besides the reserve")
    return gone


def _used(env: Any) -> int:
    """Return how many pages hold something, in all namespaces."""
    with env.begin() as txn, txn.cursor() as cursor:
        return sum(sum(_PAGES.unpack_from(row)) for _, row in cursor)


def make_room(env: Any, tables: Tables) -> int:
    """Evict a twentieth of a namespace, in steps small enough for what is left of the file.

    Returns:
        How many entries went.
    """
    # Pages that a killed reader seems to be reading are not used again.
    env.reader_check()
    with env.begin() as txn:
        size = Batch(txn, tables).size
    gone = 0
    room, step = size - size // 20 - 1, size // 320 + 1
    while size > room and step:
        try:
            with env.begin(write=True) as txn:
                batch = Batch(txn, tables)
                taken = batch.evict(max(room, size - step))
                batch.finish(0)
        except lmdb.MapFullError:
            step //= 8
            continue
        size = batch.size
        gone += taken
        if not taken:
            break
    return gone
