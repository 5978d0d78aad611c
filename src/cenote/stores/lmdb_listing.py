"""Listings of the LMDB store: the entries of a place in the order of their keys, and those that carry a tag."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from cenote.errors import DecodeError
from cenote.stores.lmdb_env import Tables
from cenote.stores.lmdb_keys import cut_prefix, entry_key, tag_key, told_by
from cenote.stores.stored import unpack

__all__ = ["carriers", "walk"]


def walk(txn: Any, tables: Tables, place: bytes, prefix: str, after: str | None) -> Iterator[tuple[bytes, str]]:
    """Give keys and identifiers of a place in the order of the keys."""
    start = cut_prefix(place, prefix)
    last = b"" if after is None else entry_key(place, after)
    with txn.cursor(db=tables.entries) as cursor:
        more = cursor.set_range(max(start, last))
        if more and cursor.key() == last:
            more = cursor.next()
        while more and (key := cursor.key()).startswith(start):
            identifier = _identifier_of(txn, tables, key, place)
            if identifier is not None and identifier.startswith(prefix):
                yield key, identifier
            more = cursor.next()


def carriers(txn: Any, tables: Tables, place: bytes, tags: Iterable[str], limit: int) -> list[str]:
    """Return the identifiers of at most so many entries of a place that carry one of the tags."""
    found: dict[str, None] = {}
    with txn.cursor(db=tables.tags) as cursor:
        for tag in tags:
            start = tag_key(place, tag)
            more = cursor.set_range(start)
            while more and len(found) < limit and cursor.key().startswith(start):
                key = txn.get(cursor.key()[len(start) :], db=tables.order)
                if key is not None and (identifier := _identifier_of(txn, tables, key, place)) is not None:
                    found[identifier] = None
                more = cursor.next()
    return list(found)


def _identifier_of(txn: Any, tables: Tables, key: bytes, place: bytes) -> str | None:
    """Return the identifier of a key; None when only a damaged value tells it."""
    told = told_by(key, place)
    if told is None:
        with contextlib.suppress(DecodeError):
            data = txn.get(key, db=tables.entries)
            return None if data is None else unpack(data, key).identifier
    return told
