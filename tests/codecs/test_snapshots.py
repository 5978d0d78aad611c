"""What earlier releases have encoded is read for ever.

Each file of the snapshots holds what one release wrote, by the names of the values below. A name is never given to
another value, and its class never changes; new values get new names. ``python -m tests.codecs.test_snapshots`` prints
what this version would write, to be kept under the number of a release.
"""

# ruff: noqa: DTZ001  # datetimes without a time zone are stored as well

import dataclasses
import json
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest

from cenote.codecs import CompressingCodec, MsgpackCodec, PickleCodec

SNAPSHOTS = sorted((Path(__file__).parents[1] / "snapshots" / "codecs").glob("*.json"))
CODECS = {"msgpack": MsgpackCodec(), "pickle": PickleCodec(b"the key of the snapshots")}
CODECS |= {name: CompressingCodec(CODECS["msgpack"], name, threshold=100) for name in ("zlib", "zstd", "lz4")}


class Colour(StrEnum):
    RED = "red"


class Odd(Enum):
    PAIR = (1, 2)


@dataclasses.dataclass
class Author:
    name: str
    born: date | None = None
    any: Any = None


class Book(msgspec.Struct):
    title: str
    authors: list[Author]
    printed: datetime
    price: Decimal = Decimal(0)


class Pair(NamedTuple):
    left: int
    right: Optional[Odd] = None  # noqa: UP045  # spelt in both ways


class Row(TypedDict):
    id: int
    colour: Literal[Colour.RED]


class Reader(pydantic.BaseModel):
    name: str
    books: dict[int, tuple[Author, ...]] = {}
    seen: datetime | None = None


for _kind in (Colour, Odd, Author, Book, Pair, Row, Reader):
    # The fingerprint names the module, and a test's module is called differently from run to run.
    _kind.__module__ = "snapshots"

AUTHOR = Author("Herbert", date(1920, 10, 8))
VALUES: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "bool": (True, bool),
    "int": (-5, None),
    "great int": (-(2**100), int),
    "float": (-0.0, None),
    "text": ("é\U0001f600", str),
    "bytes": (b"\xff\0", None),
    "list": ([1, "a", [2.5]], list[Any]),
    "dict": ({"a": 1, 2: "b"}, None),
    "tuple": ((1, (2, [3])), None),
    "sets": ([{1}, frozenset({"a"})], None),
    "dict with tuples": ({(1, 2): "a", (3,): "b"}, None),
    "datetime in UTC": (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), datetime),
    "datetime": (datetime(2026, 1, 2, 3, 4, 5, 6, fold=1), datetime),
    "datetime with an offset": (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2), "two")), None),
    "datetime with a zone": (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("UTC")), None),
    "date": (date(2026, 1, 2), None),
    "time": (time(1, 2, 3, 4, UTC, fold=1), None),
    "timedelta": (timedelta(-1, 2, 3), None),
    "time zone": (timezone(timedelta(microseconds=-1)), None),
    "Decimal": (Decimal("1.10"), None),
    "UUID": (UUID(int=2**127), None),
    "enum of text": (Colour.RED, Colour),
    "enum of tuples": (Odd.PAIR, Odd),
    "dataclass": (AUTHOR, Author),
    "dataclass by pieces": (Author("A", any=(1,)), Author | None),
    "Struct": (Book("Dune", [AUTHOR], datetime(1965, 8, 1, tzinfo=UTC)), Book),
    "Struct by pieces": (Book("Dune", [], datetime(1965, 8, 1, fold=1)), list[int] | Book),
    "named tuple": (Pair(1), Pair),
    "named tuple by pieces": (Pair(1, Odd.PAIR), Pair),
    "typed dict": ({"id": 1, "colour": Colour.RED}, Row),
    "model": (Reader(name="A", books={1: (AUTHOR,)}), Reader),
    "models": ([Reader(name="A", seen=datetime(2026, 1, 1, tzinfo=UTC))], list[Reader | Author]),
}
LARGE = {
    "short text": ("sand and spice" * 6 + "sand", None),
    "long text": ("sand and spice" * 20, str),
    "dataclasses": ([AUTHOR] * 20, list[Author]),
}
PICKLED = ("none", "dict", "dict with tuples", "datetime", "Decimal")


def written():
    """What this version writes."""
    return {
        "msgpack": {name: CODECS["msgpack"].encode(value, kind).hex() for name, (value, kind) in VALUES.items()},
        **{
            each: {name: CODECS[each].encode(value, kind).hex() for name, (value, kind) in LARGE.items()}
            for each in ("zlib", "zstd", "lz4")
        },
        "pickle": {name: CODECS["pickle"].encode(VALUES[name][0]).hex() for name in PICKLED},
    }


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_what_a_release_encoded_is_read(path):
    for codec, payloads in json.loads(path.read_text()).items():
        for name, payload in payloads.items():
            value, kind = (VALUES | LARGE)[name]
            read = CODECS[codec].decode(bytes.fromhex(payload), kind)
            assert (type(read), read) == (type(value), value), name
            assert repr(read) == repr(value), name


def test_every_value_of_the_list_is_in_the_newest_snapshot():
    newest = json.loads(SNAPSHOTS[-1].read_text())
    assert newest["msgpack"].keys() == VALUES.keys()
    assert newest["pickle"].keys() == set(PICKLED)
    for each in ("zlib", "zstd", "lz4"):
        assert newest[each].keys() == LARGE.keys()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(written(), indent=1) + "\n")
