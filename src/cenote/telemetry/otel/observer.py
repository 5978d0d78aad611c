"""The observer that makes spans, and measures how long loads and clears take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind, Status, StatusCode

from cenote.audit import AuditEvent
from cenote.observing import Observer
from cenote.telemetry.labels import label_of
from cenote.telemetry.otel import attributes as names
from cenote.telemetry.otel.load_span import LoadSpan

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

__all__ = ["BOUNDS", "HISTOGRAMS", "SpanObserver"]

BOUNDS: Final = [base * 10.0**power for power in range(-5, 2) for base in (1, 2, 5)] + [100.0]
"""Upper bounds of the buckets of durations, in seconds."""

HISTOGRAMS: Final = {
    "cenote.cache.load.duration": "Seconds from the call of a loader until its value was kept.",
    "cenote.clear.duration": "Seconds that clears took.",
}


class SpanObserver(Observer):
    """An observer that traces loads and clears.

    Args:
        tracer: Makes the spans.
        meter: Makes the histograms of durations.
        keys: Whether spans carry the identifiers of keys.
    """

    def __init__(self, tracer: Tracer, meter: Meter, *, keys: bool) -> None:
        self._tracer = tracer
        self._keys = keys
        self._loads, self._clears = (
            meter.create_histogram(name, unit="s", description=text, explicit_bucket_boundaries_advisory=BOUNDS)
            for name, text in HISTOGRAMS.items()
        )

    def load(self, cache: str | None, describe: Callable[[], str], *, behind: bool) -> LoadSpan:
        """Watch a load."""
        return LoadSpan(self._tracer, self._loads, label_of(cache), describe, keys=self._keys, behind=behind)

    @contextmanager
    def clear(self, event: AuditEvent) -> Iterator[Callable[[AuditEvent], None]]:
        """Have a clear run inside of a span."""
        told: dict[str, Any] = {names.ACTION: event.action, names.MODE: event.mode or ""}
        if event.action != "clear_all":
            told[names.CACHE] = label_of(event.service)
        ended = event

        def tell(complete: AuditEvent) -> None:
            nonlocal ended
            ended = complete

        with self._tracer.start_as_current_span(
            names.CLEAR_SPAN, kind=SpanKind.INTERNAL, attributes=told, set_status_on_exception=False
        ) as span:
            try:
                yield tell
            except Exception as error:
                told[names.ERROR_TYPE] = type(error).__qualname__
                span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
                raise
            finally:
                told |= {names.LEVEL: ended.level, names.RESULT: ended.status}
                self._clears.record(ended.duration, told)
                span.set_attributes({**told, names.CLEAR_ID: ended.clear_id or "", names.ENTRIES: ended.entries})
