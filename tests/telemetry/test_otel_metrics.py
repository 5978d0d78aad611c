"""The figures as metrics of OpenTelemetry, with its real SDK."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

from cenote import CacheManager
from cenote.telemetry.otel.metrics import CACHE_INSTRUMENTS, MANAGER_INSTRUMENTS
from cenote.telemetry.otel.observer import HISTOGRAMS

UCUM = re.compile(r"s|By|1|\{[a-z]+\}")


def only(points):
    (point,) = points
    return point


def test_figures_are_read_when_they_are_collected_with_the_cache_as_attribute(caches, telemetry):
    cache = caches.service("books", max_entries=7, max_bytes=100, weigher=len)
    cache.set("k", "value")
    cache.get("k")
    cache.get_or_load("j", lambda: "x")
    of_books = {"cenote__cache__name": "books"}
    wanted = {
        "hits": 1,
        "misses": 1,
        "loads": 1,
        "load.failures": 0,
        "entry.count": 2,
        "entry.limit": 7,
        "size": 6,
        "evictions": 0,
    }
    assert {name: only(telemetry.points(f"cenote.cache.{name}", **of_books)).value for name in wanted} == wanted
    assert only(telemetry.points("cenote.cache.hits", cenote__cache__name="(global)")).value == 0
    assert only(telemetry.points("cenote.process.count")).value == 1
    cache.get("k")
    caches.enabled = False
    assert only(telemetry.points("cenote.cache.hits", **of_books)).value == 2
    assert only(telemetry.points("cenote.enabled")).value == 0


def test_every_metric_is_collected_and_follows_the_conventions(caches, telemetry):
    caches.service("books", max_entries=7, max_bytes=100, weigher=len).get_or_load("j", lambda: "x")
    caches.clear_all()
    metrics = telemetry.metrics()
    assert metrics.keys() == {*CACHE_INSTRUMENTS, *MANAGER_INSTRUMENTS, *HISTOGRAMS}
    for name, metric in metrics.items():
        assert re.fullmatch(r"cenote(\.[a-z_]+)+", name), name
        assert not name.endswith(("_total", ".total", "seconds", "bytes")), name
        assert UCUM.fullmatch(metric.unit), name
        assert metric.description.endswith("."), name


def test_how_long_loads_take_is_a_histogram_with_their_outcome(caches, telemetry):
    cache = caches.service("books")
    for key in "abc":
        cache.get_or_load(key, int)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_load("d", lambda: 1 / 0)
    loaded = only(telemetry.points("cenote.cache.load.duration", cenote__load__outcome="loaded"))
    failed = only(telemetry.points("cenote.cache.load.duration", cenote__load__outcome="failed"))
    assert (loaded.count, failed.count) == (3, 1)
    assert failed.attributes["error.type"] == "ZeroDivisionError"
    assert (loaded.explicit_bounds[0], loaded.explicit_bounds[-1]) == (1e-5, 100.0)


def test_a_closed_manager_and_one_that_is_gone_give_no_figures(telemetry):
    caches = CacheManager()
    telemetry.instrument(caches)
    assert telemetry.points("cenote.cache.hits")
    caches.close()
    assert telemetry.points("cenote.cache.hits") == []
    assert telemetry.points("cenote.process.count") == []
    del caches
    assert telemetry.points("cenote.cache.hits") == []


def test_each_process_exports_its_own_figures_unless_one_exports_those_of_all(tmp_path, telemetry):
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o700)
    with CacheManager(f"memory://{directory}") as one, CacheManager(f"memory://{directory}") as other:
        one.service("books").get_or_load("a", int)
        other.service("books").get_or_load("b", int)
        with telemetry.instrument(one):
            assert only(telemetry.points("cenote.cache.loads", cenote__cache__name="books")).value == 1
        with telemetry.instrument(one, shared=True):
            assert only(telemetry.points("cenote.cache.loads", cenote__cache__name="books")).value == 2
            assert only(telemetry.points("cenote.process.count")).value == 2


def run(code):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_missing_extra_is_named_with_its_pip_command():
    printed = run(
        """
        import sys
        sys.modules["opentelemetry"] = None
        try:
            import cenote.telemetry.otel
        except ImportError as error:
            print(type(error).__name__, error)
        """
    )
    assert printed.startswith("MissingExtraError")
    assert 'pip install "cenote[otel]"' in printed


def test_nothing_of_it_is_imported_unless_it_is_asked_for():
    printed = run(
        """
        import sys
        from cenote import CacheManager
        with CacheManager() as caches:
            caches.global_cache.get_or_load("k", int)
            caches.clear_all()
        print([name for name in sys.modules if "opentelemetry" in name or "telemetry" in name])
        """
    )
    assert printed == "[]\n"
