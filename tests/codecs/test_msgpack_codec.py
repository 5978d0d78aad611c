"""What the msgpack codec adds to the contract: annotated types, refusals that help, and a format."""

import dataclasses
import io
import subprocess
import sys
import uuid
import zlib
from collections import OrderedDict, defaultdict, deque, namedtuple
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from enum import IntEnum, StrEnum
from functools import cached_property
from struct import pack
from typing import Any, ForwardRef, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.codecs import MsgpackCodec
from cenote.errors import DecodeError, EncodeError

from . import shapes
from .shapes import (
    BERLIN,
    BOOK,
    GROUP,
    LATER,
    NOW,
    PARSED,
    TYPED,
    Book,
    Box,
    Cat,
    Counted,
    Fixed,
    Home,
    Pair,
    Person,
    Pixel,
    Point,
    Row,
    Shade,
    Size,
    Sparse,
    Word,
    told,
)

CODEC = MsgpackCodec()
PLAIN, NATIVE, OBJECTS = 1, 2, 3


def form(value, kind):
    return CODEC.encode(value, kind)[0]


def back(value, kind=None):
    return CODEC.decode(CODEC.encode(value, kind), kind)


@pytest.mark.parametrize(("value", "kind"), TYPED, ids=repr)
def test_an_annotated_value_comes_back_with_its_types(value, kind):
    assert told(back(value, kind)) == told(value)


@pytest.mark.parametrize(("value", "kind"), TYPED, ids=repr)
def test_the_encoding_of_an_annotated_value_with_any_bit_flipped_is_refused(value, kind):
    data = CODEC.encode(value, kind)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            CODEC.decode(flipped, kind)


@given(st.data())
@settings(max_examples=300, deadline=None, database=None)
def test_forged_bytes_with_a_valid_checksum_yield_a_value_or_a_decode_error(data):
    value, kind = data.draw(st.sampled_from(TYPED))
    payload = bytearray(CODEC.encode(value, kind)[5:])
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload = payload[: data.draw(st.integers(0, len(payload)))]
    first = data.draw(st.sampled_from([PLAIN, NATIVE, OBJECTS]))
    seed = PLAIN if first == PLAIN else CODEC._annotation(kind).seed ^ first
    with suppress(DecodeError):
        CODEC.decode(pack(">BI", first, zlib.crc32(payload, seed)) + payload, kind)


@pytest.mark.parametrize(
    "payload",
    [
        *(b"\xdd\xff\xff\xff\xff", b"\x91" * 100_000, b"\xc1", b"", b"\x01\x01", b"\x81\x90", b"\x81\x80\x01"),
        *(b"\xd4\x63\0", b"\xd4\x02\x01", b"\xd4\x05\x01", b"\xd5\x05\x91\x01", b"\xd4\x06\0", b"\xd4\x0b\xff"),
        *(b"\xd4\x0bx", b"\xd4\x0c\0", b"\xd5\x03\x91\x90", b"\xd6\x03\x91\x91\x90\xc0", b"\xd6\x0a\xa3../"),
        *(b"\xd7\x0a\xa7No/Zone", b"\xd4\x0a\x90", b"\xd5\x0a\x91\xc0", b"\xd4\x0d\x90", b"\xd5\x0d\x92\0"),
        *(b"\xd4\x7f\0", b"\xd4\x80\0", b"\xc7\0\x07", b"\xd8\x09" + b"\xff" * 16, b"\xa1\xff"),
    ],
)
def test_forged_payloads_are_refused_with_a_decode_error(payload):
    with pytest.raises(DecodeError):
        CODEC.decode(pack(">BI", PLAIN, zlib.crc32(payload, PLAIN)) + payload)


@pytest.mark.parametrize("data", [None, "text", 1, [], object()])
def test_what_is_not_bytes_is_refused_with_a_decode_error(data):
    with pytest.raises(DecodeError):
        CODEC.decode(data)


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Stamp(datetime):
    pass


class Sea(tzinfo):
    def utcoffset(self, when):
        return None


class Plain:
    pass


CLASSES = {
    "subclass of str": (Text("x"), "Text"),
    "subclass of int": (Whole(1), "Whole"),
    "subclass of datetime": (Stamp(2026, 1, 1), "Stamp"),
    "OrderedDict": (OrderedDict(a=1), "OrderedDict"),
    "defaultdict": (defaultdict(list), "defaultdict"),
    "deque": (deque([1]), "deque"),
    "bytearray": (bytearray(b"x"), "bytearray"),
    "complex": (1j, "complex"),
    "range": (range(3), "range"),
    "IntEnum": (Size.SMALL, "Size"),
    "StrEnum": (Word.YES, "Word"),
    "Enum": (Shade.DARK, "Shade"),
    "dataclass": (Point(1), "Point"),
    "Struct": (Sparse(), "Sparse"),
    "model": (PARSED, "Person"),
    "named tuple": (Pair(1), "Pair"),
    "time zone": (datetime(2026, 1, 1, tzinfo=Sea()), "Sea"),
    "object": (Plain(), "Plain"),
    "class": (int, "type"),
    "NotImplemented": (NotImplemented, "NotImplementedType"),
}


@pytest.mark.parametrize("place", ["top", "list", "key", "deep", "beside a great int"])
@pytest.mark.parametrize(("value", "name"), CLASSES.values(), ids=CLASSES)
def test_without_an_annotation_other_types_are_refused_by_name_with_the_choices(value, name, place):
    wrapped = {
        "top": lambda: value,
        "list": lambda: [1, value],
        "key": lambda: {(value,): 1},
        "deep": lambda: {"a": [({"b": value},)]},
        "beside a great int": lambda: [2**80, value],
    }
    try:
        hash(value)
    except TypeError:
        if place == "key":
            return
    with pytest.raises(EncodeError, match=rf"\b{name}\b.*annotate .*plain data.*pickle"):
        CODEC.encode(wrapped[place]())


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_text_with_surrogates_is_refused(text):
    book = dataclasses.replace(BOOK, title=text)
    for value, kind in (
        (text, str),
        ([text], None),
        ({text: 1}, None),
        ((text,), None),
        ({(text,): 1}, None),
        (book, Book),
    ):
        with pytest.raises(EncodeError, match="Unicode"):
            CODEC.encode(value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "says", "came"),
    [
        ((1,), list[int], r"list\[int\]", "tuple"),
        ([1], tuple[int, ...], "tuple", "list"),
        ("x", int, "int", "str"),
        (1.0, int, "int", "float"),
        (None, Point, "Point", "NoneType"),
        ({"x": 1}, Point, "Point", "dict"),
        (1, Size, "Size", "int"),
        ("yes", Word, "Word", "str"),
        ([1], Row, "Row", "list"),
        (1, str | None, r"str \| None", "int"),
        (Pixel(1), Point, "Point", "Pixel"),
        ([Pixel(1)], list[Point], r"list\[.*Point\]", "Pixel"),
        (Point(1), Pixel, "Pixel", "Point"),
        (Box(Point(1)), Box[int], "Box", "Point"),
        (Point(1), list, "list", "Point"),
        (Cat(), Person, "Person", "Cat"),
    ],
)
def test_a_value_of_another_type_than_annotated_is_refused_and_both_are_named(value, kind, says, came):
    with pytest.raises(EncodeError, match=says) as caught:
        CODEC.encode(value, kind)
    assert came in str(caught.value)


def test_a_model_that_holds_a_subclass_of_what_it_annotates_is_refused():
    class Puppy(shapes.Dog):
        pass

    home = Home(pet=shapes.Dog())
    home.pet = Puppy()
    with pytest.raises(EncodeError, match="Puppy"):
        CODEC.encode(home, Home)


def test_an_attribute_that_is_no_field_is_refused_and_a_cached_property_is_not():
    counted = Counted(2)
    assert counted.double == 4
    assert told(back(counted, Counted)) == told(counted)
    counted.other = 1
    with pytest.raises(EncodeError, match="'other'"):
        CODEC.encode(counted, Counted)


def test_a_field_that_was_deleted_stays_so():
    point = Point(1)
    del point.x
    assert vars(back(point, Point)) == {"y": 0.0}


def test_a_field_that_its_class_changes_when_made_comes_back_as_it_was():
    counted = Counted(1)
    counted.calls = 5
    assert back(counted, Counted).calls == 5


def test_a_struct_that_changes_its_fields_when_made_comes_back_as_it_was():
    class Doubled(msgspec.Struct):
        a: int
        any: Any = None

        def __post_init__(self):
            self.a *= 2

    for value in (Doubled(1), Doubled(1, (1,))):
        assert value.a == 2
        assert back(value, Doubled) == value


def test_nesting_is_kept_up_to_200_levels_and_no_further():
    value = (1,)
    for _ in range(200):
        value = (value,)
    assert back(value) == value
    with pytest.raises(EncodeError, match="200 levels"):
        CODEC.encode((value,))
    with pytest.raises(EncodeError, match="200 levels"):
        CODEC.encode([(value,)])


def test_the_validators_of_a_model_do_not_run_again():
    assert back(Cat(lives=5), Cat).lives == 4


def test_a_model_keeps_which_fields_were_given_its_extras_and_its_private_attributes():
    PARSED._secret = [(1, "s")]
    read = back(GROUP, Person)
    assert read.model_fields_set == {"name", "friends", "scores"}
    assert read.friends[0].model_fields_set == {"name", "born", "more"}
    assert read.friends[0].more == [1]
    assert read.friends[0]._secret == [(1, "s")]
    assert read == GROUP


def test_a_frozen_model_and_a_root_model_come_back():
    class Frozen(pydantic.BaseModel, frozen=True):
        a: int

    class Names(pydantic.RootModel[list[str]]):
        pass

    for value in (Frozen(a=1), Names(["a"])):
        assert back(value, type(value)) == value


def test_a_dataclass_built_on_a_dict_is_refused():
    @dataclasses.dataclass
    class Odd(dict):
        a: int = 1

    odd = Odd()
    odd["content"] = 1
    with pytest.raises(EncodeError, match="Odd"):
        CODEC.encode(odd, Odd)


def test_a_dataclass_with_a_slot_that_is_no_field_is_refused():
    class Base:
        __slots__ = ("hidden",)

    @dataclasses.dataclass
    class Child(Base):
        a: int = 1

    child = Child()
    child.hidden = 1
    with pytest.raises(EncodeError, match="Child"):
        CODEC.encode(child, Child)


def test_annotated_values_that_contain_themselves_or_nest_deep_are_refused():
    circle = shapes.Node("a")
    circle.children.append(circle)
    with pytest.raises(EncodeError, match="itself"):
        CODEC.encode(circle, shapes.Node)
    chain = shapes.Node("a")
    for _ in range(50_000):
        chain = shapes.Node("a", [chain])
    try:
        with pytest.raises(EncodeError, match="deep"):
            CODEC.encode(chain, shapes.Node)
    finally:
        while chain.children:
            [chain] = chain.children


def test_a_value_whose_own_code_fails_is_refused():
    class Failing(list):
        def __iter__(self):
            raise OSError("broken")

    class Named:
        @property
        def __class__(self):
            raise OSError("broken")

    for value in (Failing([1]), [Named()]):
        with pytest.raises(EncodeError):
            CODEC.encode(value)


@pytest.mark.parametrize("value", [BOOK, {"a": BOOK}, Fixed(1, NOW), GROUP], ids=lambda value: type(value).__name__)
def test_the_bytes_of_one_type_are_refused_for_every_other(value):
    kind = dict[str, Book] if type(value) is dict else type(value)
    data = CODEC.encode(value, kind)
    for other in (None, Any, Point, list[Book], dict[str, Point], Person | None, Sparse):
        with pytest.raises(DecodeError):
            CODEC.decode(data, other)


@pytest.mark.parametrize(
    ("value", "kind"), [(1, str), ([1], dict[str, int]), ((1,), list[int]), (None, Point), (1, Size)]
)
def test_plain_bytes_are_refused_for_a_type_that_they_cannot_be(value, kind):
    with pytest.raises(DecodeError):
        CODEC.decode(CODEC.encode(value), kind)


def remade(fields, **options):
    """A dataclass that always has the same name."""
    made = dataclasses.make_dataclass("Made", fields, **options)
    made.__module__ = "tests.made"
    return made


@pytest.mark.parametrize(
    "fields",
    [
        [("a", int)],
        [("a", int), ("b", str, "")],
        [("a", int), ("c", int, 0)],
        [("a", float), ("b", int, 0)],
        [("b", int), ("a", int)],
        [("a", int), ("b", int, 0), ("c", Any, None)],
    ],
)
def test_bytes_of_a_class_whose_fields_have_changed_since_are_refused(fields):
    before = remade([("a", int), ("b", int, 0)])
    data = CODEC.encode(before(1), before)
    assert CODEC.decode(data, remade([("a", int), ("b", int, 0)])).b == 0
    with pytest.raises(DecodeError):
        CODEC.decode(data, remade(fields))


def test_bytes_of_a_nested_class_or_an_enum_that_has_changed_since_are_refused():
    def outer(inner):
        return list[inner]

    one, two = remade([("a", int)]), remade([("a", str)])
    with pytest.raises(DecodeError):
        CODEC.decode(CODEC.encode([one(1)], outer(one)), outer(two))
    before = IntEnum("Level", {"LOW": 1, "HIGH": 2})
    after = IntEnum("Level", {"HIGH": 1, "LOW": 2})
    with pytest.raises(DecodeError):
        CODEC.decode(CODEC.encode(before.LOW, before), after)


def test_a_default_that_msgspec_left_out_and_that_has_changed_since_is_refused():
    def sparse(default):
        return msgspec.defstruct("Made", [("a", int, default)], omit_defaults=True, module="tests.made")

    before = sparse(1)
    with pytest.raises(DecodeError):
        CODEC.decode(CODEC.encode(before(), before), sparse(2))


def test_the_order_of_a_union_cannot_mix_up_its_classes():
    data = CODEC.encode([Cat(), shapes.Dog()], list[Cat | shapes.Dog])
    with pytest.raises(DecodeError):
        CODEC.decode(data, list[shapes.Dog | Cat])


def test_msgspec_reads_what_it_can_and_pieces_are_only_for_the_rest():
    assert form(Point(1, 2.0), Point) == NATIVE
    assert form(BOOK, Book) == NATIVE
    assert form([Fixed(1, NOW)], list[Fixed]) == NATIVE
    assert form(Size.SMALL, Size) == NATIVE
    assert form(Point(1, 2), Point) == OBJECTS
    assert form(Fixed(1, LATER), Fixed) == OBJECTS
    assert form(GROUP, Person) == OBJECTS
    assert form([], list[Point]) == PLAIN
    assert form([1], list[int]) == PLAIN
    assert form((1,), None) == PLAIN


def test_equal_annotations_made_apart_read_each_others_bytes():
    data = CODEC.encode([BOOK], list[Book])
    for _ in range(3):
        assert MsgpackCodec().decode(data, list[Book]) == [BOOK]
        assert CODEC.decode(data, list[Book]) == [BOOK]


def test_annotations_that_are_made_anew_for_each_call_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("cenote.codecs.msgpack._MOST_ANNOTATIONS", 10)
    codec = MsgpackCodec()
    for number in range(40):
        made = remade([("a", int), (f"b{number}", int)])
        assert codec.decode(codec.encode(made(1, 2), made), made) == made(1, 2)
        assert len(codec._annotations) <= 10


@pytest.mark.parametrize(
    "kind", ["Unresolved", [int], 5, ..., len, list[ForwardRef("Unresolved")], TypeVar("T")], ids=repr
)
def test_an_annotation_that_says_nothing_usable_does_not_harm_plain_values(kind):
    assert back([1, (2,)], kind) == [1, (2,)]


@pytest.mark.parametrize("kind", [StrEnum, cached_property, Plain], ids=repr)
def test_a_plain_value_is_refused_for_a_class_that_it_is_no_instance_of(kind):
    with pytest.raises(EncodeError, match="annotation says"):
        CODEC.encode([1, (2,)], kind)


def test_a_zone_keeps_its_rules():
    read = back([LATER, BERLIN])
    assert read[0].fold == 1
    assert read[0].utcoffset() == LATER.utcoffset()
    assert read[1] is ZoneInfo("Europe/Berlin")


def test_a_zone_without_a_name_is_refused():
    version_1 = b"TZif" + bytes(16) + pack(">6I", 0, 0, 0, 0, 1, 4) + pack(">iBB", 0, 0, 0) + b"UTC\0"
    nameless = ZoneInfo.from_file(io.BytesIO(version_1))
    with pytest.raises(EncodeError, match="ZoneInfo"):
        CODEC.encode(datetime(2026, 1, 1, tzinfo=nameless))


def test_a_date_in_utc_is_a_timestamp_of_the_msgpack_specification():
    assert CODEC.encode(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))[5:] == b"\xd6\xff\0\0\0\x01"


def test_importing_the_codecs_and_pickling_need_no_msgspec_and_msgpack_says_what_to_install():
    code = """
import sys
sys.modules["msgspec"] = sys.modules["pydantic"] = None
from cenote.codecs import MsgpackCodec, PickleCodec
codec = PickleCodec(b"k" * 16)
print(codec.decode(codec.encode((1, "a"))))
try:
    MsgpackCodec()
except ImportError as error:
    print(type(error).__name__, error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told_by_pickle, missing = ran.stdout.splitlines()
    assert told_by_pickle == "(1, 'a')"
    assert missing.startswith("MissingExtraError The msgpack codec")
    assert 'pip install "cenote[lmdb]"' in missing


def test_pydantic_is_not_imported_unless_a_value_needs_it():
    code = """
import dataclasses, sys
from cenote.codecs import MsgpackCodec
point = dataclasses.make_dataclass("Point", [("x", int)])
codec = MsgpackCodec()
print(codec.decode(codec.encode([point(1)], list[point]), list[point]), "pydantic" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[Point(x=1)] False\n"


def test_a_uuid_and_a_named_tuple_made_in_the_old_way_come_back():
    old = namedtuple("old", "a b")  # noqa: PYI024  # the old way is meant
    assert told(back(old(uuid.UUID(int=5), (1,)), old)) == told(old(uuid.UUID(int=5), (1,)))
