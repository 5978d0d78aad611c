"""The Prometheus collector in registries of one's own, and what is said when an extra is missing."""

import subprocess
import sys
import textwrap
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cenote import CacheManager
from cenote.telemetry.prometheus import (
    GLOBAL_LABEL,
    MOST_CACHES,
    OTHER_LABEL,
    CenoteCollector,
    exposition,
    make_registry,
)
from cenote.testing import FakeClock


def test_the_collector_fits_in_ones_own_registry_and_reads_when_scraped():
    registry = CollectorRegistry()
    with CacheManager() as caches:
        registry.register(CenoteCollector(caches))
        caches.service("late").set("k", 1)
        caches.service("late").get("k")
        assert registry.get_sample_value("cenote_cache_hits_total", {"cache": "late"}) == 1
        assert registry.get_sample_value("cenote_cache_entries", {"cache": GLOBAL_LABEL}) == 0
        assert b"cenote_cache_hits_total" in generate_latest(registry)


def test_every_metric_follows_the_naming_conventions():
    with CacheManager() as caches:
        families = list(text_string_to_metric_families(exposition(caches).decode()))
    assert families
    for family in families:
        assert family.name.startswith("cenote_")
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert not family.name.endswith(("_ms", "_count", "_sum", "_bucket"))
        assert family.type != "histogram" or family.name.endswith("_seconds")
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter")
            assert sample.labels.keys() <= {"cache", "le", "level", "result"}


def test_how_long_loads_took_is_a_histogram_whose_sum_and_count_are_those_of_the_counters():
    clock = FakeClock()
    with CacheManager(clock=clock) as caches:
        cache = caches.service("books")
        for key, seconds in enumerate((0.0, 0.003, 0.003, 0.15, 500.0)):
            cache.get_or_load(str(key), partial(clock.advance, seconds))
        registry = make_registry(caches)
        value = partial(registry.get_sample_value, labels={"cache": "books"})
        assert value("cenote_cache_load_duration_seconds_count") == value("cenote_cache_loads_total") == 5
        assert value("cenote_cache_load_duration_seconds_sum") == pytest.approx(500.156)
        assert value("cenote_cache_load_seconds_total") == pytest.approx(500.156)
        counts = {
            bound: registry.get_sample_value(
                "cenote_cache_load_duration_seconds_bucket", {"cache": "books", "le": bound}
            )
            for bound in ("0.0001", "0.002", "0.005", "0.1", "0.2", "100.0", "+Inf")
        }
    assert counts == {"0.0001": 1, "0.002": 1, "0.005": 3, "0.1": 3, "0.2": 4, "100.0": 4, "+Inf": 5}


def test_clears_are_a_histogram_by_level_and_result():
    with CacheManager() as caches:
        registry = make_registry(caches)
        done = {"level": "process", "result": "success"}
        assert registry.get_sample_value("cenote_clear_duration_seconds_count", done) == 0
        caches.clear_all()
        caches.global_cache.clear(mode="soft")
        caches.global_cache.clear(dry_run=True)
        caches.global_cache.invalidate_tags("t")
        assert registry.get_sample_value("cenote_clear_duration_seconds_count", done) == 3
        assert registry.get_sample_value("cenote_clear_duration_seconds_bucket", {**done, "le": "+Inf"}) == 3
        assert 0 < registry.get_sample_value("cenote_clear_duration_seconds_sum", done) < 60


def test_only_so_many_caches_have_a_label_of_their_own_and_the_sum_of_the_others_never_falls():
    with CacheManager() as caches:
        for number in range(MOST_CACHES + 5):
            caches.service(f"s{number:04}").get("k")
        registry = make_registry(caches)
        value = registry.get_sample_value
        others = {"cache": OTHER_LABEL}
        assert len({s.labels["cache"] for m in registry.collect() for s in m.samples if "cache" in s.labels}) == (
            MOST_CACHES + 1
        )
        assert value("cenote_cache_misses_total", others) == 6
        assert value("cenote_cache_max_entries", others) == 60_000
        caches.service("a-name-that-comes-first").get("k")
        registry = make_registry(caches)
        assert registry.get_sample_value("cenote_cache_misses_total", others) == 7
        assert registry.get_sample_value("cenote_cache_misses_total", {"cache": "s0998"}) == 1
        assert registry.get_sample_value("cenote_cache_misses_total", {"cache": "a-name-that-comes-first"}) is None


def test_a_label_of_the_others_can_belong_to_no_service():
    with CacheManager() as caches, pytest.raises(ValueError, match="name"):
        caches.service(OTHER_LABEL)


def test_the_label_of_the_global_cache_can_belong_to_no_service():
    with CacheManager() as caches, pytest.raises(ValueError, match="name"):
        caches.service(GLOBAL_LABEL)


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("cenote.telemetry.prometheus", "prometheus_client"),
        ("cenote.control", "fastapi"),
        ("cenote.control", "uvicorn"),
        ("cenote.integrations.fastapi", "fastapi"),
    ],
)
def test_a_missing_extra_is_named_with_its_pip_command(module, missing):
    code = f"""
        import sys
        sys.modules[{missing!r}] = None
        try:
            import {module}
        except ImportError as error:
            print(type(error).__name__, error)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("MissingExtraError")
    assert 'pip install "cenote[server]"' in ran.stdout


def test_metrics_without_the_extra_are_a_503_that_names_the_command():
    code = """
        import sys
        sys.modules["prometheus_client"] = None
        from starlette.testclient import TestClient
        from cenote import CacheManager
        from cenote.control import Settings, create_app
        with CacheManager() as caches:
            app = create_app(caches, Settings())
            with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1)) as client:
                answer = client.get("/metrics")
                print(answer.status_code, answer.json()["detail"])
    """
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("503")
    assert 'pip install "cenote[server]"' in ran.stdout
