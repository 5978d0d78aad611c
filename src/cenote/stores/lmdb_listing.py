"""Listings of the LMDB store: the entries of a place in the order of their keys."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from cenote.errors import DecodeError
from cenote.stores.lmdb_env import Tables
from cenote.stores.lmdb_keys import cut_prefix, entry_key, told_by
from cenote.stores.stored import unpack

__all__ = ["identifier_of", "walk"]


def identifier_of(txn: Any, tables: Tables, key: bytes, place: bytes) -> str | None:
    """Return the identifier of a key; None when only a damaged value tells it."""
    told = told_by(key, place)
    if told is None:
        with contextlib.suppress(DecodeError):
            data = txn.get(key, db=tables.entries)
            return None if data is None else unpack(data, key).identifier
    return told


def walk(txn: Any, tables: Tables, place: bytes, prefix: str, after: str | None) -> Iterator[tuple[bytes, str]]:
    """Give keys and identifiers of a place in the order of the keys."""
    start = cut_prefix(place, prefix)
    last = b"" if after is None else entry_key(place, after)
    with txn.cursor(db=tables.entries) as cursor:
        more = cursor.set_range(max(start, last))
        if more and cursor.key() == last:
            more = cursor.next()
        while more and (key := cursor.key()).startswith(start):
            identifier = identifier_of(txn, tables, key, place)
            if identifier is not None and identifier.startswith(prefix):
                yield key, identifier
            more = cursor.next()
