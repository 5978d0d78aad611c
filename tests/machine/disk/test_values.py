"""What comes back from the file, in another process, is what was stored, of the same type; or it is not stored."""

from __future__ import annotations

import decimal
import random

import pytest
from tests.waiting import wait_until

from cenote import CacheManager
from cenote.codecs import CompressingCodec, MsgpackCodec, PickleCodec
from cenote.errors import EncodeError
from cenote.probing import Probes
from cenote.testing import FakeClock

TYPES = """
import datetime, decimal, enum
from dataclasses import dataclass
import msgspec, pydantic
loads = []
@dataclass
class Book:
    title: str
    year: int
class Model(pydantic.BaseModel):
    name: str
    count: int
class Record(msgspec.Struct):
    name: str
    tags: list[str]
class Color(enum.Enum):
    RED = "red"
def memoized(annotation, value):
    def made(number: int):
        loads.append(number)
        return value
    made.__annotations__["return"] = annotation
    return cache.memoize(name="made")(made)
"""

VALUES = {
    "dataclass": ("Book", "Book('dune', 1965)"),
    "pydantic": ("Model", "Model(name='m', count=2)"),
    "struct": ("Record", "Record('r', ['a'])"),
    "datetime": (
        "datetime.datetime",
        "datetime.datetime(2024, 2, 29, 12, 30, 1, 7, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))",
    ),
    "decimal": ("decimal.Decimal", "decimal.Decimal('1.10')"),
    "set": ("set[int]", "{1, 2}"),
    "tuple": ("tuple[int, str]", "(1, 'a')"),
    "enum": ("Color", "Color.RED"),
    "bytes": ("bytes", "b'\\x00\\xff'"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_of_a_memoized_function_comes_back_equal_and_of_its_type(start, kind):
    annotation, value = VALUES[kind]
    one, other = start(TYPES), start(TYPES)
    for process in (one, other):
        process.do(f"value = {value}; made = memoized({annotation}, value)")
    assert one.ask("made(1) == value")
    assert other.ask("(made(1) == value, type(made(1)) is type(value), loads)") == (True, True, [])


class Plain:
    """Has no annotation that a codec could follow."""


def test_what_cannot_be_encoded_is_refused_by_its_type_and_nothing_is_stored(pair):
    one, other = pair
    with pytest.raises(EncodeError, match="Plain"):
        one.shop.set("k", Plain())
    one.load = Plain
    with pytest.raises(EncodeError, match=r"Plain|str"):
        one.loaded(1)
    assert one.shop.keys() == other.shop.keys() == []
    assert not one.shop._core.state.tables[0]
    one.load = lambda: "sound"
    assert one.loaded(1) == "sound"


def test_what_was_signed_with_another_key_counts_as_missing(open_manager, unattended, url):
    one = open_manager(codec=PickleCodec(key="one secret of many bytes")).service("shop")
    other = open_manager(codec=PickleCodec(key="another secret of many bytes")).service("shop")
    one.set("k", {1, 2})
    assert one.get("k") == {1, 2}
    assert other.get("k") is None
    assert other.get_or_load("k", lambda: "loaded") == "loaded"


def test_where_compression_is_switched_on_or_off_what_is_there_is_read_or_counts_as_missing(
    open_manager, unattended, caplog
):
    settings = (None, "zlib", "zstd", "lz4")
    codecs = [each and CompressingCodec(MsgpackCodec(), each) for each in settings]
    shops = [open_manager(codec=codec).service("shop") for codec in codecs]
    text = "sand and spice " * 500
    for setting, writer in zip(settings, shops, strict=True):
        for value in (text, "short"):
            writer.set("k", value)
            for reader in shops[1:]:
                assert [reader.get("k"), reader.get("k")] == [value, value]
            assert caplog.messages == []
            missed = value is text and setting is not None
            assert shops[0].get("k") == (None if missed else value)
            if missed:
                (said,) = set(caplog.messages)
                assert "k of shop cannot be read and counts as missing" in said
                assert f"compressed with {setting}; wrap the codec in a CompressingCodec" in said
                caplog.clear()
    shops[1].set("k", text)
    assert shops[0].get_or_load("k", lambda: "loaded") == "loaded"
    assert shops[2].get("k") == "loaded"


def test_a_call_whose_function_was_changed_counts_as_missing(open_manager, unattended):
    one, other = open_manager().service("shop"), open_manager().service("shop")

    @one.memoize(name="made")
    def made(number: int) -> str:
        return "1"

    def changed(number: int) -> int:
        return 2

    changed = other.memoize(name="made")(changed)
    assert made(1) == "1"
    assert changed(1) == 2


def test_a_local_function_is_shared_only_under_a_name(open_manager, unattended):
    one, other = open_manager().service("shop"), open_manager().service("shop")

    def memoized(cache, value, **options):
        def local(number: int) -> str:
            return value

        return cache.memoize(**options)(local)

    assert memoized(one, "one")(1) == "one"
    assert memoized(other, "other")(1) == "other"
    assert memoized(one, "one", name="named")(1) == "one"
    assert memoized(other, "other", name="named")(1) == "one"


class Own:
    """An argument that means nothing to another process."""


@pytest.mark.parametrize("argument", [decimal.Decimal("1.5"), Own()], ids=["decimal", "object"])
@pytest.mark.parametrize("way", ["clear", "clear_all", "tags", "prefix", "call", "function"])
def test_a_call_that_is_not_shared_stays_in_its_process_and_is_invalidated_from_everywhere(pair, argument, way):
    one, other = pair
    for caches in pair:
        assert caches.loaded(argument) == "old"
    assert one.shop.keys() == []
    one.value = other.value = "new"
    assert other.loaded(argument) == "old"
    {
        "clear": one.shop.clear,
        "clear_all": one.clear_all,
        "tags": lambda: one.shop.invalidate_tags("t"),
        "prefix": lambda: one.shop.clear(prefix="loaded"),
        "call": lambda: one.loaded.invalidate(argument),
        "function": one.loaded.cache_clear,
    }[way]()
    assert other.loaded(argument) == one.loaded(argument) == "new"


# Counts


def test_counts_and_listings_are_those_of_the_file_whichever_process_answers(pair):
    one, other = pair
    for number in range(25):
        one.shop.set(f"k{number:02}", number, tags=["even" if number % 2 == 0 else "odd"])
    one.loaded(1)
    other.shop.get("k00")
    for caches in pair:
        assert len(caches.shop) == 26
        assert len(caches.shop.keys()) == 26
        assert caches.shop.keys(prefix="k1") == [f"k1{number}" for number in range(10)]
        assert caches.shop.stats().current_size == 26
        assert caches.shop.clear(dry_run=True).entries_cleared == 26
        assert caches.shop.clear(dry_run=True, tags=["even"]).entries_cleared == 13
    assert other.shop.invalidate_tags("even") == 13
    assert one.shop.clear(prefix="k1").entries_cleared == 5
    assert other.shop.delete("k01")
    assert not one.shop.delete("k01")
    result = other.clear_all()
    assert result.entries_cleared == 7
    assert len(result.cleared_items) == 7
    assert len(one.shop) == len(other.shop) == 0


def test_each_identifier_that_is_listed_can_be_deleted_and_is_that_entry_alone(pair):
    one, other = pair
    for key in ("k", "k ", "loaded(9)", "ü" * 300, "x" * 600, "x" * 601):
        one.shop.set(key, key)
    for number in (1, 2, -3):
        one.loaded(number)
    left = set(other.shop.keys())
    assert len(left) == 9
    for identifier in sorted(left):
        assert other.shop.delete(identifier), identifier
        left.discard(identifier)
        assert set(one.shop.keys()) == left


def test_two_namespaces_of_one_directory_do_not_meet(open_manager, unattended):
    one, other = open_manager(), open_manager(namespace="other")
    one.service("shop").set("k", 1)
    assert other.service("shop").get("k") is None
    other.service("shop").set("k", 2)
    other.clear_all()
    assert one.service("shop").get("k") == 1


def test_entries_outlive_all_processes_and_a_clear_outlives_them_too(url, unattended):
    with CacheManager(url) as caches:
        caches.service("shop").set("kept", 1)
        caches.service("films").set("gone", 1)
        caches.clear("films")
    with CacheManager(url) as caches:
        assert caches.service("shop").get("kept") == 1
        assert caches.service("films").get("gone") is None


def test_old_entries_leave_when_the_limit_is_reached(open_manager, unattended, url):
    cache = open_manager(f"{url}?max_bytes=1048576").service("shop")
    for number in range(300):
        cache.set(f"k{number}", b"x" * 10_000)
    assert 50 < len(cache) < 110
    assert cache.stats().evictions == 300 - len(cache)
    assert cache.get("k299") is not None


def test_a_clear_leaves_its_entries_alone_and_the_garbage_goes_behind_it(open_manager, at_once, monkeypatch):
    caches = open_manager()
    core = caches.service("shop")._core
    cache = caches.service("shop")
    cache.set("k0", 0)
    with core.exclusive("many"):
        store = core.sharing.store
        from cenote.stores.stored import StoredEntry  # to fill the store without its commits

        state = core.current()
        place = store._place(state.shelf, state.generation)
        with store._writing(0, 100_000) as batch:
            for number in range(100_000):
                entry = StoredEntry(f"n{number}", 0, 0.0, float("inf"), float("inf"), 0.0, 0, frozenset(), b"x")
                batch.put(place + entry.identifier.encode(), place, entry)
    assert len(cache) == 100_001
    with monkeypatch.context() as patch:
        patch.setattr(store, "reap", lambda *_: 0)
        assert cache.clear().entries_cleared == 100_001
        assert len(cache) == 0
        assert store.garbage(caches._floor) == 100_001
    wait_until(lambda: store.garbage(caches._floor) == 0)


def test_room_for_copies_is_not_taken_for_loads_saved(open_manager, url):
    """A copy that was evicted is read from the disk: three hundred keys take turns in two hundred places."""
    caches = open_manager()
    cache = caches.service("turns", max_entries=200)
    probes = Probes(cache._core, random.Random(1))
    probes.step()
    for number in range(900):
        cache.get_or_load(f"k{number % 300}", lambda: 1)
    assert sum(cache._core.state.store.policy.returns().counts) > 50
    assert probes.count().room is None


def test_a_read_ahead_of_the_end_loads_anew_and_is_not_given_the_entry_that_it_is_to_replace(tmp_path):
    clock, loads = FakeClock(), []

    def load():
        loads.append(clock.monotonic())
        return len(loads)

    with CacheManager(f"lmdb://{tmp_path / 'own'}", clock=clock) as caches:
        cache = caches.service("shop", ttl=10, refresh_ahead=0.5)
        assert cache.get_or_load("k", load) == 1
        clock.advance(6)
        assert cache.get_or_load("k", load) == 1
        wait_until(lambda: cache.get_or_load("k", load) == 2)
        assert len(loads) == 2
