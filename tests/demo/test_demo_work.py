"""The work that the demonstration does is right, and its users are the same on every run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cenote import CacheManager
from cenote.codecs import MsgpackCodec
from cenote.demo.analysis import analyse_source, reachable
from cenote.demo.counting import CountingCodec
from cenote.demo.docstrings import index_of, read_page, vocabulary_of
from cenote.demo.meter import Meter
from cenote.demo.roster import Roster
from cenote.demo.services import open_etherforce, open_lorekeeper, open_workflow
from cenote.demo.sources import Library
from cenote.demo.traffic import Traffic

SOURCE = b'''
"""Talk about ponds.

More about ponds and water."""
import os
from json import loads

def plain():
    return 1

def branching(a, b):
    """Water runs."""
    if a and b or a:
        return plain()
    for x in [y for y in a if y]:
        while x:
            x -= 1
    try:
        return loads(a)
    except ValueError:
        return b if a else None

class Pond:
    def drain(self):
        self.fill()
    def fill(self):
        return branching(1, 2)
'''


def test_complexity_counts_decisions_plus_one():
    analysis = analyse_source("pond", SOURCE)
    found = {function.name: function.complexity for function in analysis.functions}
    # if, and, or, for, comprehension, while, except, conditional expression
    assert found == {"branching": 9, "plain": 1, "Pond.drain": 1, "Pond.fill": 1}
    assert analysis.functions[0].name == "branching"
    assert analysis.imports == ("json", "os")


def test_a_trace_follows_calls_through_the_module():
    analysis = analyse_source("pond", SOURCE)
    assert reachable(analysis, "Pond.drain") == ("Pond.drain", "Pond.fill", "branching", "plain")
    assert reachable(analysis, "plain") == ("plain",)
    assert reachable(analysis, "nothing") == ()


def test_a_search_finds_the_page_that_speaks_of_it_most():
    pages = [
        read_page("pond", SOURCE),
        read_page("lake", b'"""Water and boats, boats, boats."""'),
        read_page("desert", b'"""Sand and a few boats."""'),
    ]
    hits = index_of(pages).search("boats", vocabulary_of(pages), limit=2)
    assert [hit.module for hit in hits] == ["lake", "desert"]
    assert hits[0].summary == "Water and boats, boats, boats."


def test_the_library_is_bounded_sorted_and_readable():
    library = Library(most=50)
    assert len(library.names) == 50
    assert library.names == sorted(library.names)
    assert all(library.read(name) is not None for name in library.names)
    assert not any(name.startswith(("_", "test.")) for name in library.names)


@pytest.fixture
def services():
    with CacheManager() as caches:
        library = Library(most=12)
        etherforce = open_etherforce(caches, library)
        lorekeeper = open_lorekeeper(caches, library)
        yield caches, library, etherforce, lorekeeper, open_workflow(caches, etherforce, lorekeeper)


async def test_a_report_rests_on_entries_of_the_other_services(services):
    caches, library, _, _, workflow = services
    module = library.names[0]
    report = await workflow.report(module)
    assert report.module == module
    for service in ("etherforce", "lorekeeper", "workflow"):
        assert caches.service(service).keys(tag=f"module:{module}"), service
    assert len(caches.global_cache) == 2


async def test_the_meter_tells_the_last_second_from_the_whole(services):
    caches, library, etherforce, _, _ = services
    meter = Meter(caches)
    etherforce.analyse(library.names[0])
    etherforce.analyse(library.names[0])
    first = meter.tick(1, 2)
    assert (first.caches["etherforce"].reads, first.caches["etherforce"].hit_rate) == (2, 50.0)
    assert first.caches["workflow"].hit_rate is None
    etherforce.analyse(library.names[0])
    assert meter.tick(2, 3).hit_rate == 100.0
    whole = meter.summary(2.0, 3, 0, 0)
    assert (whole.hit_rate, whole.entries) == (66.67, 1)


async def test_whatever_one_process_has_loaded_another_finds_in_the_store_that_they_share(tmp_path):
    library = Library(most=12)
    codecs = [CountingCodec(MsgpackCodec()) for _ in range(2)]
    managers = [CacheManager(f"lmdb://{tmp_path}/run?max_bytes=50000000", codec=codec) for codec in codecs]
    found, meters = [], []
    for caches, codec in zip(managers, codecs, strict=True):
        etherforce, lorekeeper = open_etherforce(caches, library), open_lorekeeper(caches, library)
        workflow = open_workflow(caches, etherforce, lorekeeper)
        meters.append(Meter(caches, alone=True, codec=codec))
        module = library.names[0]
        analysis = etherforce.analyse(module)
        trace = etherforce.trace(module, analysis.functions[0].name)
        search = await lorekeeper.search("path string")
        found.append((analysis, trace, search, await workflow.report(module), workflow.ranking(5)))
        found[-1] += (lorekeeper.modules(), await lorekeeper.vocabulary(), await lorekeeper.index())
    assert repr(found[0]) == repr(found[1])
    first, second = (meter.tick(1, 0) for meter in meters)
    assert (sum(part.loads for part in first.caches.values()) > 20, first.fetched) == (True, 0)
    assert sum(part.loads for part in second.caches.values()) == 0
    assert second.fetched == sum(part.hits for part in second.caches.values()) >= 8
    for caches in managers:
        caches.close()


def test_near_hits_are_those_that_did_not_come_from_the_shared_store():
    roster = Roster(2)
    first, second = roster.members
    first.state = second.state = "busy"
    cache = {"reads": 100, "hits": 90, "loads": 8, "hitRate": 90.0, "entries": 50}
    roster.heard(first, {"requests": 70, "savedSeconds": 1.5, "caches": {"a": cache, "b": cache}, "fetched": 30})
    whole = roster.tick(1)
    one, other = whole.workers
    assert (one.near_hits, one.fetched, one.loads) == (150, 30, 16)
    assert (other.near_hits, other.fetched, other.loads) == (0, 0, 0)
    assert (whole.fetched, whole.caches["a"].loads, whole.hit_rate) == (30, 8, 90.0)


async def test_the_users_ask_the_same_on_every_run():
    async def run():
        with CacheManager() as caches, ThreadPoolExecutor(1) as workers:
            library = Library(most=12)
            etherforce = open_etherforce(caches, library)
            lorekeeper = open_lorekeeper(caches, library)
            workflow = open_workflow(caches, etherforce, lorekeeper)
            traffic = Traffic(library.names, etherforce, lorekeeper, workflow, workers=workers)
            await traffic.learn()
            for _ in range(60):
                await traffic.request()
            return {name: caches.service(name).keys() for name in caches.services()}

    first, second = await run(), await run()
    assert first == second
    assert all(first.values())
