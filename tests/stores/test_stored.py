"""The bytes of stored entries: read for ever, and refused when anything in them is damaged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.errors import DecodeError, EncodeError
from cenote.stores.stored import SOFT, StoredEntry, fresh_payload, pack, terms_of, unpack

SNAPSHOTS = Path(__file__).resolve().parents[1] / "snapshots" / "stored"
EXAMPLES = {
    "v1-plain": (StoredEntry("user:1", 42, 1.5, payload=b"value"), b"", 0),
    "v1-all": (
        StoredEntry("f('\U0001f600')", SOFT, 1e9, 2e9, 3e9, 0.125, 2**64 - 1, frozenset({"b", "\xe9", ""}), b"\0\xff"),
        b"users\0\0\0\0\0\0\0\0\x03key",
        7,
    ),
    "v1-empty": (StoredEntry("k"), b"k", 2**64 - 1),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_a_release_wrote_is_read_for_ever(name: str) -> None:
    entry, key, turn = EXAMPLES[name]
    data = (SNAPSHOTS / f"{name}.bin").read_bytes()
    assert unpack(data, key) == entry
    assert terms_of(data) == (entry.birth, entry.hard_until, turn)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_format_has_not_changed_without_a_new_version(name: str) -> None:
    assert pack(*EXAMPLES[name]) == (SNAPSHOTS / f"{name}.bin").read_bytes()


ENTRIES = st.builds(
    StoredEntry,
    identifier=st.text(min_size=1),
    birth=st.integers(-1, 2**63 - 1),
    born=st.floats(allow_nan=False),
    expires=st.floats(allow_nan=False),
    hard_until=st.floats(allow_nan=False),
    cost=st.floats(0, 1e9),
    fingerprint=st.integers(0, 2**64 - 1),
    tags=st.frozensets(st.text(), max_size=4),
    payload=st.binary(),
)


@given(ENTRIES, st.binary(max_size=20), st.integers(0, 2**64 - 1))
def test_what_was_packed_comes_back(entry: StoredEntry, key: bytes, turn: int) -> None:
    data = pack(entry, key, turn)
    assert unpack(data, key) == entry
    assert unpack(data, key, entry.identifier) == entry
    assert terms_of(data) == (entry.birth, entry.hard_until, turn)


@given(ENTRIES, st.floats(allow_nan=False), st.integers(-1, 2**63 - 1))
def test_the_payload_alone_is_there_only_of_what_is_fresh(entry: StoredEntry, now: float, floor: int) -> None:
    entry.fingerprint %= 2
    fresh = not entry.fingerprint and entry.birth >= floor and entry.expires > now
    assert fresh_payload(pack(entry, b"key"), b"key", now=now, floor=floor) == (entry.payload if fresh else None)


@given(ENTRIES, st.data())
def test_a_flipped_bit_a_missing_end_or_another_key_is_refused(entry: StoredEntry, data: st.DataObject) -> None:
    good = pack(entry, b"key")
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for damaged, key in [
        (bytes(bad), b"key"),
        (good[: data.draw(st.integers(0, len(good) - 1))], b"key"),
        (good + b"\0", b"key"),
        (good, b"kez"),
    ]:
        with pytest.raises(DecodeError):
            unpack(damaged, key)
        assert fresh_payload(damaged, key, now=-1e999, floor=SOFT) is None


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack(noise, b"key")
    assert fresh_payload(noise, b"key", now=0.0, floor=0) is None


def test_a_version_from_the_future_is_refused_by_name() -> None:
    from zlib import crc32

    body = b"\x02" + pack(StoredEntry("k"))[1:-4]
    with pytest.raises(DecodeError, match="format 2"):
        unpack(body + crc32(body).to_bytes(4, "little"))
    assert fresh_payload(body + crc32(body).to_bytes(4, "little"), b"", now=0.0, floor=0) is None


def test_a_figure_that_does_not_fit_is_named() -> None:
    with pytest.raises(EncodeError, match="figure"):
        pack(StoredEntry("k", 2**63))
