"""Every query of deploy/ is PromQL, and what it names is what ``/metrics`` says of caches that are used."""

from __future__ import annotations

import asyncio
import re

import httpx
import promql_parser
import pytest
from promql_parser import AggModifierType, AggregateExpr, BinaryExpr, Call, VectorSelector
from tests.network.servers import KINDS, Server, agents, binary
from tests.telemetry.test_deploy import RECORDED, TARGET_LABELS, queries
from tests.waiting import wait_until

from cenote import CacheManager
from cenote.control import create_app

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? \S+$")


def query_of(text):
    """Return a query as Prometheus gets it: Grafana puts its variables in and asks ``label_values`` by itself."""
    asked = re.fullmatch(r"label_values\((.*), *\w+\)", text.strip())
    text = asked[1] if asked else text
    text = text.replace("$__rate_interval", "5m").replace("$__range", "1h")
    return re.sub(r"\$\{?\w+\}?", "chosen", text)


def label_of(text):
    """Return the label that a variable of Grafana's lists, in a list; none where it is another query."""
    return re.findall(r"^label_values\(.*, *(\w+)\)$", text.strip())


class Names:
    """What a query names: metrics with the labels that select or match them, and labels to group by."""

    def __init__(self, text):
        self.selected = {}
        self.grouped = set(label_of(text))
        promql_parser.walk(promql_parser.parse(query_of(text)), self._see)

    def _see(self, part):
        if isinstance(part, VectorSelector):
            matchers = [*part.matchers.matchers, *(each for group in part.matchers.or_matchers for each in group)]
            self.selected.setdefault(part.name, set()).update(matcher.name for matcher in matchers)
        elif isinstance(part, AggregateExpr) and part.modifier is not None:
            assert part.modifier.type == AggModifierType.By  # what is left out need not be there
            self.grouped.update(part.modifier.labels)
        elif isinstance(part, BinaryExpr) and part.modifier is not None and part.modifier.matching is not None:
            self.grouped.update(part.modifier.matching.labels)
        else:
            assert not (isinstance(part, Call) and part.func.name.startswith("absent"))


def samples_of(caches):
    """Return the names of the samples that ``/metrics`` has of caches, each with its labels."""
    found = {}
    for line in asyncio.run(scraped(create_app(caches))).splitlines():
        if not line.startswith("#"):
            name, labels = SAMPLE.match(line).groups()
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    return found


async def scraped(app):
    """Return what an application answers to Prometheus."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answer = await client.get("/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text


def used(caches):
    cache = caches.service("books", max_entries=10, weigher=len, max_bytes=1000)
    cache.get_or_load("k", lambda: "value")
    cache.clear()
    return caches


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """What is exported where the caches are in memory, and where machines share them."""
    (kind, *_) = [kind for kind in KINDS if binary(kind)]
    folder = tmp_path_factory.mktemp("machine")
    with CacheManager() as caches:
        found = samples_of(used(caches))
    with Server(kind) as server:
        with CacheManager(f"{server.url}?dir={folder}&lease=0.5") as caches:
            for name, labels in samples_of(used(caches)).items():
                found.setdefault(name, set()).update(labels)
        wait_until(lambda: not agents(folder), 60)
    return found


@pytest.mark.parametrize(("place", "query"), queries(), ids=lambda text: text.strip()[:40])
def test_a_query_parses_and_names_what_is_exported(place, query, exported):
    names = Names(query)
    assert names.selected, place
    there = set(TARGET_LABELS)
    for name, labels in names.selected.items():
        known = name in RECORDED or exported.get(name)
        assert known is not None, (place, name)
        own = {"cache"} if name in RECORDED else exported[name]
        assert labels <= own | TARGET_LABELS, (place, name)
        there |= own
    assert names.grouped <= there, place


@pytest.mark.parametrize(
    "broken",
    [
        "sum by (cache (rate(cenote_cache_hits_total[5m]))",
        "rate(cenote_cache_hits_total)",
        "histogram_quantile(cenote_cache_load_duration_seconds_bucket)",
        "sum(rate(cenote_cache_hits_total[5 minutes]))",
        'cenote_enabled{instance=~"$instance"',
    ],
)
def test_what_prometheus_would_refuse_does_not_parse(broken):
    with pytest.raises(ValueError, match=r"."):
        Names(broken)
