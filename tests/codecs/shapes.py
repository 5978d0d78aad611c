"""The classes and annotations that the tests of codecs store."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic

T = TypeVar("T")
Isbn = NewType("Isbn", str)


class Shade(Enum):
    DARK = (0, 1)
    LIGHT = "light"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Word(StrEnum):
    YES = "yes"


class Rights(Flag):
    READ = auto()
    WRITE = auto()


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@dataclasses.dataclass
class Pixel(Point):
    shade: Shade = Shade.DARK


@dataclasses.dataclass(frozen=True, slots=True)
class Book:
    title: str
    authors: tuple[str, ...]
    printed: date
    price: Decimal
    tags: frozenset[str] = frozenset()
    size: Size = Size.SMALL
    place: Point | None = None
    extra: Any = None


@dataclasses.dataclass
class Node:
    name: str
    children: "list[Node]" = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Counted:
    value: int
    calls: int = dataclasses.field(init=False, default=0, compare=False)

    def __post_init__(self):
        self.calls += 1

    @cached_property
    def double(self):
        return self.value * 2


class Fixed(msgspec.Struct, frozen=True, tag=True):
    a: int
    when: datetime
    raw: bytes = b""


class Sparse(msgspec.Struct, omit_defaults=True, array_like=True):
    a: int = 1
    b: Any = None


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Row(TypedDict):
    id: int
    parts: tuple[int, ...]
    when: datetime


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: Annotated[str, pydantic.Field(alias="fullName", min_length=1)]
    born: datetime | None = None
    scores: dict[int, tuple[float, ...]] = {}
    friends: "list[Person]" = []
    token: UUID = pydantic.Field(default_factory=lambda: UUID(int=7))
    _secret: Any = pydantic.PrivateAttr(default=(1,))


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9

    @pydantic.field_validator("lives")
    @classmethod
    def one_is_lost_by_each_look(cls, lives):
        return lives - 1


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"


class Home(pydantic.BaseModel):
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 10, 25, 2, 30, 0, 1, tzinfo=UTC)
LATER = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)
FOLDED = datetime(2026, 10, 25, 2, 30, fold=1)  # noqa: DTZ001  # local times have folds
OFFSET = timezone(timedelta(hours=-3), "three")

BOOK = Book("Dune", ("Herbert",), date(1965, 8, 1), Decimal("9.90"), frozenset({"sf"}), Size.LARGE, Point(1, 2.0))
PARSED = Person.model_validate_json('{"fullName": "A", "born": "2026-01-01T00:00:00Z", "more": [1]}')
GROUP = Person(fullName="B", friends=[PARSED, Person(fullName="C", born=LATER)], scores={1: (1.5,)})

TYPED = [
    (None, type(None)),
    (True, bool),
    (True, int),
    (1, float),
    (2**70, int),
    ("x", str),
    ("x", Isbn),
    ("x", Literal["x", 1]),
    (None, Optional[int]),  # noqa: UP045  # the older spelling must work as well
    ([1, 2], list[int]),
    (["not", "int"], list[int]),
    ([1, 2], Sequence[int]),
    ({1: "a"}, Mapping[int, str]),
    ((1, "a"), tuple[int, str]),
    ({(1, 2): {3}}, dict[tuple[int, int], set[int]]),
    ({1, 2}, set[int]),
    (frozenset({1}), frozenset[int]),
    ([{1}, [2]], list[list[int] | set[int]]),
    (NOW, datetime),
    (LATER, datetime),
    (LATER, datetime | str),
    (NOW.astimezone(OFFSET), datetime),
    (date(2026, 1, 1), date),
    (time(1, 2, 3, 4), time),
    (timedelta(days=-1, microseconds=1), timedelta),
    (Decimal("1.10"), Decimal),
    (UUID(int=1), UUID),
    (b"\xff", bytes),
    ({"id": 1, "parts": (1, 2), "when": LATER}, Row),
    (Shade.DARK, Shade),
    (Shade.LIGHT, Shade),
    (Size.SMALL, Size),
    (Word.YES, Word),
    (Rights.READ, Rights),
    (Rights.READ | Rights.WRITE, Rights),
    (Rights(0), Rights),
    ({Word.YES: Size.LARGE}, dict[Word, Size]),
    ([Word.YES, "yes"], list[Word | str]),
    (Word.YES, Literal[Word.YES]),
    (Point(1, 2.5), Point),
    (Point(1, 2), Point),
    (Point(2**70, float("nan")), Point),
    (Point(1, -0.0), Point | None),
    (BOOK, Book),
    (dataclasses.replace(BOOK, extra=(1, {2: {3}})), Book),
    (dataclasses.replace(BOOK, authors=["a list"]), Book),
    ([Point(1), Pixel(2, 3.0, Shade.LIGHT)], list[Point | Pixel]),
    (Node("a", [Node("b"), Node("c", [Node("d")])]), Node),
    (Box(1), Box[int]),
    (Box((1, Point(2))), Box[tuple[int, Point]]),
    (Fixed(1, NOW, b"\xff"), Fixed),
    (Fixed(1, LATER), Fixed),
    (Fixed(1, FOLDED), Fixed),
    (Fixed(1, NOW.astimezone(OFFSET)), Fixed),
    ([Fixed(1, NOW), Sparse(2)], list[Fixed | Sparse]),
    (Sparse(), Sparse),
    (Sparse(b=(1, 2)), Sparse),
    (Pair(1), Pair),
    ([Pair(1, "a")], list[Pair]),
    ((1, "a"), tuple[int, str] | Pair),
    ({Pair(1): {Pair(2)}}, dict[Pair, set[Pair]]),
    (PARSED, Person),
    (GROUP, Person),
    ([GROUP], list[Person]),
    ((GROUP, BOOK, None), tuple[Person, Book, Point | None]),
    (Home(pet=Dog()), Home),
    (Home(pet=Cat(lives=5)), Home),
    ([Dog(), Cat()], list[Cat | Dog]),
    (NOW, Annotated[datetime, "seen"]),
    ({"any": (1,)}, dict[str, Any]),
    ((1,), object),
]
"""Values with their annotations."""


def told(value):
    """Describes a value so exactly that equal descriptions mean equal values of equal types."""
    kind = type(value)
    if isinstance(value, Enum):
        return kind, value.name
    if isinstance(value, list | tuple):
        return kind, [told(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(told(item)) for item in value)
    if isinstance(value, dict):
        return kind, [(told(key), told(item)) for key, item in value.items()]
    if dataclasses.is_dataclass(kind):
        return kind, [(field.name, told(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if isinstance(value, msgspec.Struct):
        return kind, [told(getattr(value, name)) for name in value.__struct_fields__]
    if isinstance(value, pydantic.BaseModel):
        parts = (value.__dict__, value.__pydantic_extra__, value.__pydantic_private__)
        return kind, [told(part) for part in parts], value.model_fields_set
    return kind, repr(value), type(getattr(value, "tzinfo", None))
