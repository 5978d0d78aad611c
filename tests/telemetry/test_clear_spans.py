"""A span for each clear."""

from __future__ import annotations

import pytest
from opentelemetry.trace import StatusCode

from cenote import CacheManager, ClearFailedError


def test_a_clear_is_a_span_with_what_it_did(caches, telemetry):
    cache = caches.service("books")
    cache.set("k", 1)
    with telemetry.tracer.start_as_current_span("request") as request:
        result = cache.clear()
    clear = telemetry.span("cache clear")
    assert clear.parent.span_id == request.get_span_context().span_id
    assert dict(clear.attributes) == {
        "cenote.cache.name": "books",
        "cenote.clear.action": "clear",
        "cenote.clear.mode": "hard",
        "cenote.clear.level": "process",
        "cenote.clear.result": "success",
        "cenote.clear.id": result.clear_id,
        "cenote.clear.entries": 1,
    }
    (point,) = telemetry.points("cenote.clear.duration", cenote__clear__level="process")
    assert (point.count, point.attributes["cenote.clear.result"]) == (1, "success")
    assert point.sum == pytest.approx(result.duration)


async def test_a_clear_of_everything_names_no_cache_and_an_asynchronous_one_is_a_span_too(caches, telemetry):
    caches.clear_all(mode="soft")
    await caches.global_cache.aclear(prefix="k")
    one, other = telemetry.spans("cache clear")
    assert "cenote.cache.name" not in one.attributes
    assert (one.attributes["cenote.clear.action"], one.attributes["cenote.clear.mode"]) == ("clear_all", "soft")
    assert other.attributes["cenote.cache.name"] == "(global)"


def test_a_dry_run_is_none(caches, telemetry):
    caches.clear_all(dry_run=True)
    assert telemetry.spans() == []


def test_a_clear_that_could_not_keep_its_promise_is_an_error_with_the_level_that_it_reached(tmp_path, telemetry):
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o700)
    with CacheManager(f"memory://{directory}") as caches, telemetry.instrument(caches):
        caches.clear_all()
        (directory / "cenote.cenote").unlink()
        with pytest.raises(ClearFailedError):
            caches.clear_all()
    done, failed = telemetry.spans("cache clear")
    assert (done.attributes["cenote.clear.level"], done.status.status_code) == ("machine", StatusCode.UNSET)
    assert (failed.attributes["cenote.clear.level"], failed.attributes["cenote.clear.result"]) == ("process", "error")
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "ClearFailedError"
