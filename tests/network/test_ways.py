"""However a value is handed out, it is no older than what was invalidated on another machine before it was asked for.

Each guard of a read is taken out once: what is served then shows that the tests would notice.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from tests.machine.processes import PATIENCE
from tests.network.conftest import Site
from tests.network.servers import Server
from tests.network.ways import WAYS

from cenote.cache import Cache
from cenote.testing import History, assert_strict

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
MODES = {"lease": "", "always": "&validate=always"}
SCOPES = {
    "cache.clear()": "cache='shop'",
    "cache.delete({name!r})": "cache='shop', keys=[{name!r}]",
    "cache.invalidate_tags('t')": "cache='shop', tags=['t']",
    "cache.clear(prefix={start!r})": "cache='shop', prefix={start!r}",
    "caches.clear_all()": "everything=True",
}
SETUP = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.network.ways import WAYS
from cenote.testing import History
"""
NUMBERS = itertools.count()


class Pair:
    """A process on each of two machines: one invalidates, the other one reads."""

    def __init__(self, site, query, broken=""):
        self.one = site.process("a", SETUP, query=query)
        self.other = site.process("b", SETUP + broken, query=query)
        site.ripen(self.one)
        site.shares(self.other, "first")

    def judge(self, way, scopes=tuple(SCOPES), *, loads=PATIENCE):
        """Read in one way while loads overlap invalidations, and have the checker judge it.

        Args:
            way: The way.
            scopes: How to invalidate.
            loads: Seconds to wait for a load behind an invalidation; where less, there need be none.
        """
        one, other, number = self.one, self.other, next(NUMBERS)

        def happens(what, patience=PATIENCE):
            assert other.ask(f"way.{what}({patience})") or patience < PATIENCE, what

        one.do(f"cache = caches.service('way{number}', **WAYS[{way!r}].options); history = History(now)")
        other.do(f"way = WAYS[{way!r}](caches, 'way{number}')")
        try:
            for call in scopes:
                happens("warm")
                other.do("way.close_gate()")
                self._invalidate(call, way)
                happens("is_loading", loads)
                self._invalidate(call, way)
                happens("let_come")
                other.do("way.open_gate()")
            happens("warm")
        finally:
            seen = other.ask("way.end()")
        assert other.ask("way.failed") == []
        history = History(time.monotonic_ns)
        history.extend(seen)
        history.extend(one.ask("history"))
        assert_strict(history)
        return history

    def _invalidate(self, call, way):
        names = {"name": WAYS[way].name, "start": WAYS[way].name[:3]}
        self.one.do(f"with history.invalidation({SCOPES[call].format(**names)}): {call.format(**names)}")


@pytest.fixture(scope="module", params=MODES)
def pair(request, tmp_path_factory):
    """Two processes, for all ways."""
    with Server("valkey") as server:
        site = Site(server, tmp_path_factory.mktemp("ways"))
        try:
            yield Pair(site, MODES[request.param])
        finally:
            site.end()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_older_than_an_invalidation_on_another_machine_is_handed_out(pair, way):
    history = pair.judge(way)
    assert len(history.invalidations) == 2 * len(SCOPES)
    assert len(history.reads) > 50


def test_no_way_is_left_out():
    described = " ".join(way.__doc__ for way in WAYS.values())
    reading = [name for name in dir(Cache) if name.startswith(("get", "aget"))]
    assert reading
    assert [name for name in reading if f"``{name}``" not in described] == []


JOINED = "a clear leaves the loads under way to those who come later"
MUTANTS = {
    JOINED: """
from cenote.following import Follower
emptied = Follower.emptied
def keep_flights(self, state, sequence):
    found = emptied(self, state, sequence)
    found.flights = state.flights
    return found
Follower.emptied = keep_flights
""",
    "the State is not brought to the head before it is looked in": """
from cenote.following import Follower
Follower.abreast = lambda self, seen: self.state
""",
    "nobody compares the head": """
from cenote.following import Follower
fresh = Follower.fresh
class Same(int):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
def headless(self):
    found = fresh(self)
    found.word, found.deadline, found.until = [Same()], [float("inf")], float("inf")
    return found
Follower.fresh = headless
""",
}
# What loads all the time is seldom as old as an invalidation, whatever its reads do.
CALM = [name for name in WAYS if name not in ("Fill", "Refresh", "Ahead", "AheadMemoize")]
FOUND_BY = {
    JOINED: [
        *("GetOrLoad", "GetOrLoadMany", "AgetOrLoad", "AgetOrLoadMany", "Memoize", "MemoizeCoroutine", "Timeout"),
    ],
    "the State is not brought to the head before it is looked in": [
        each for each in CALM if "ttl" not in WAYS[each].options
    ],
    "nobody compares the head": CALM,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("kind", ["valkey"])
def test_a_read_without_one_of_its_guards_would_be_found_whatever_the_way(site, mutant, mode):
    pair = Pair(site, MODES[mode], MUTANTS[mutant])
    for way in FOUND_BY[mutant]:
        with pytest.raises(AssertionError, match="strict clear broken"):
            # Who is served what is old loads nothing.
            pair.judge(way, ["cache.clear()"], loads=PATIENCE if mutant == JOINED else 0.5)
