"""The race table: no cell is stale, and a broken cache makes cells stale."""

from __future__ import annotations

import pytest

from cenote.core import CacheCore
from cenote.flight import Flight
from cenote.scope import Scope
from cenote.state import State

from . import races
from .races import EMPTIES, FILLS


@pytest.mark.parametrize("empty", EMPTIES)
@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: fill.__name__)
def test_no_read_is_stale_when_a_cache_is_emptied_amid_a_load(fill, empty, record_property):
    judged = races.run(fill(), empty)
    record_property("race", (fill.__name__, empty, judged))
    assert judged >= 2


def _forget(flight):
    flight.state.flights.pop((flight.slot, flight.key), None)


BROKEN = {
    "a load publishes though it was detached": (
        [(Flight, "registered", property(lambda _self: True)), (Flight, "detach", _forget)],
        ["delete", "tags", "prefix", "set", "cache_clear", "invalidate"],
    ),
    "a load publishes into whichever State is in force": (
        [
            (CacheCore, "is_current", lambda _self, _state: True),
            (CacheCore, "_put", lambda self, _state, entry: self.state.store.put(entry)),
        ],
        ["clear", "clear_all", "switch"],
    ),
    "deleting a key leaves the load under way joinable": (
        [(State, "detach_key", lambda *_: None)],
        ["delete", "invalidate", "set"],
    ),
    "invalidating tags leaves the load under way joinable": ([(State, "detach_tags", lambda *_: None)], ["tags"]),
    "a prefix leaves the load under way joinable": ([(Scope, "detach", lambda *_: None)], ["prefix", "cache_clear"]),
}


@pytest.mark.parametrize("flaw", BROKEN)
def test_the_race_table_finds_a_broken_cache(flaw, monkeypatch):
    patches, empties = BROKEN[flaw]
    for owner, name, broken in patches:
        monkeypatch.setattr(owner, name, broken)
    for empty in empties:
        with pytest.raises(AssertionError):
            races.run(races.Memoize(), empty, patience=1.0)
