"""The Prometheus collector in registries of one's own, and what is said when an extra is missing."""

import subprocess
import sys
import textwrap

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cenote import CacheManager
from cenote.telemetry.prometheus import GLOBAL_LABEL, CenoteCollector, exposition


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
        assert family.type in {"counter", "gauge"}
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter")


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
