"""Instrumenting: what turns OpenTelemetry on for the caches of one manager."""

from __future__ import annotations

import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from opentelemetry import metrics, trace

from cenote._version import __version__
from cenote.telemetry.otel.metrics import Figures, Instruments
from cenote.telemetry.otel.observer import SpanObserver

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from cenote import CacheManager

__all__ = ["Instrumentation", "instrument"]

_SCOPE: Final = "cenote"
_instruments: weakref.WeakKeyDictionary[MeterProvider, Instruments] = weakref.WeakKeyDictionary()
_lock: Final = threading.Lock()


class Instrumentation:
    """What ``instrument`` has turned on; it may be used as a context manager, which turns it off."""

    def __init__(
        self, caches: CacheManager, observer: SpanObserver, instruments: Instruments, figures: Figures
    ) -> None:
        self._caches = caches
        self._observer = observer
        self._instruments = instruments
        self._figures = figures

    def close(self) -> None:
        """Turn it off: no more spans and no more figures. A second call does nothing."""
        with _lock:
            self._instruments.remove(self._figures)
        if self._caches.observer is self._observer:
            self._caches.observe(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def instrument(
    caches: CacheManager,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    keys: bool = False,
    shared: bool = False,
) -> Instrumentation:
    """Turn OpenTelemetry on for the caches of a manager: figures, and a span for each load and clear.

    Args:
        caches: The manager.
        tracer_provider: Where spans go; the global provider when not given.
        meter_provider: Where figures go; the global provider when not given.
        keys: Whether spans carry the identifiers of keys, which may be personal.
        shared: Whether the figures are sums over all processes that share the caches. Then only one of them should
            export: what every process exports is added up once more where it arrives.

    Returns:
        What turns it off again.
    """
    provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
    meter = provider.get_meter(_SCOPE, __version__)
    observer = SpanObserver(trace.get_tracer(_SCOPE, __version__, tracer_provider), meter, keys=keys)
    figures = Figures(caches, shared=shared)
    with _lock:
        instruments = _instruments.get(provider)
        if instruments is None:
            instruments = _instruments[provider] = Instruments(meter)
        instruments.add(figures)
    caches.observe(observer)
    return Instrumentation(caches, observer, instruments, figures)
