"""OpenTelemetry's own SDK, with exporters that keep what they are given."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cenote import CacheManager
from cenote.telemetry.otel import instrument
from cenote.testing import FakeClock

PATIENCE = 20.0


class Telemetry:
    """What an instrumented manager has exported."""

    def __init__(self):
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("application")

    def instrument(self, caches, **options):
        return instrument(caches, tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def spans(self, name=None):
        return [span for span in self._spans.get_finished_spans() if name in (None, span.name)]

    def span(self, name="cache load"):
        (found,) = self.spans(name)
        return found

    def metrics(self):
        """By name, each metric as it is collected now."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name, **attributes):
        """The data points of a metric that carry these attributes."""
        metric = self.metrics().get(name)
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}
        points = () if metric is None else metric.data.data_points
        return [point for point in points if wanted.items() <= dict(point.attributes).items()]

    def close(self):
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telemetry():
    found = Telemetry()
    yield found
    found.close()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def caches(clock, telemetry):
    with CacheManager(clock=clock) as manager, telemetry.instrument(manager):
        yield manager


@pytest.fixture
def spawn():
    """Run a function in a daemon thread, and return its future."""

    def spawn(function, *arguments):
        future = Future()

        def run():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # noqa: BLE001  # handed to the test
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    return spawn
