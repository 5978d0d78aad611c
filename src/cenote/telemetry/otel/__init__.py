"""OpenTelemetry: the figures as metrics, and a span for each load and each clear."""

from __future__ import annotations

from cenote.errors import MissingExtraError

try:
    import opentelemetry.metrics
    import opentelemetry.trace  # noqa: F401  # both are asked for before anything that needs them
except ImportError as error:
    raise MissingExtraError("OpenTelemetry", "otel") from error

from cenote.telemetry.otel.instrument import Instrumentation, instrument

__all__ = ["Instrumentation", "instrument"]
