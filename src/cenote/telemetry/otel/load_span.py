"""One load as a span, with those who wait for it as links."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode

from cenote.errors import CenoteError
from cenote.observing import LoadEnd, LoadWatch
from cenote.telemetry.otel import attributes as names

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Tracer

__all__ = ["LoadSpan"]

_WORST_FIRST: Final = (
    LoadEnd.FAILED,
    LoadEnd.INTERRUPTED,
    LoadEnd.DISCARDED,
    LoadEnd.UNCACHED,
    LoadEnd.LOADED,
    LoadEnd.ADOPTED,
    LoadEnd.ABSENT,
)
"""Which of several keys' ends a span names."""


class LoadSpan(LoadWatch):
    """What is kept of one call of a loader until it has ended for all its keys."""

    def __init__(
        self,
        tracer: Tracer,
        durations: Histogram,
        cache: str,
        describe: Callable[[], str],
        *,
        keys: bool,
        behind: bool,
    ) -> None:
        """Note in whose context the load was set off; the span begins when the loader does.

        Args:
            tracer: Makes the span.
            durations: Takes how long the load took.
            cache: What the cache is called.
            describe: Returns the identifier of the key.
            keys: Whether identifiers may be exported.
            behind: Whether the load is nobody's part: a root, with a link to what set it off.
        """
        self._tracer = tracer
        self._durations = durations
        self._cache = cache
        self._describe = [describe]
        self._keys = keys
        self._behind = behind
        self._context = contexts.get_current()
        self._lock = threading.Lock()
        self._span: Span | None = None
        self._begun = 0.0
        self._waiters: list[SpanContext] = []
        self._waiting = 0
        self._left = 1
        self._ends: dict[LoadEnd, BaseException | None] = {}

    def also(self, describe: Callable[[], str]) -> None:
        """Note that the same call of the loader is for one more key."""
        self._describe.append(describe)
        self._left += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Begin the span, and have it current for the loader."""
        # A loader in the background is no part of the request that set it off, which may be long over.
        context = contexts.Context() if self._behind else self._context
        span = self._tracer.start_span(
            names.LOAD_SPAN,
            context=context,
            kind=SpanKind.INTERNAL,
            links=[Link(cause)] if self._behind and (cause := self._cause()).is_valid else None,
            attributes=self._attributes(),
        )
        with self._lock:
            self._span, self._begun = span, time.perf_counter()
            for waiter in self._waiters:
                span.add_link(waiter)
        token = contexts.attach(trace.set_span_in_context(span, context))
        try:
            yield
        finally:
            contexts.detach(token)

    def _cause(self) -> SpanContext:
        return trace.get_current_span(self._context).get_span_context()

    def _attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {names.CACHE: self._cache}
        if len(self._describe) > 1:
            found[names.KEYS] = len(self._describe)
        elif self._keys:
            found[names.KEY] = self._describe[0]()
        return found

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Link the load to a caller that waits, and tell that caller's span afterwards for what it waited."""
        span = trace.get_current_span()
        here = span.get_span_context()
        with self._lock:
            self._waiting += 1
            if here.is_valid:
                self._waiters.append(here)
                if self._span is not None:
                    self._span.add_link(here)
        begun = time.perf_counter()
        try:
            yield
        finally:
            span.add_event(names.WAIT_EVENT, self._waited(time.perf_counter() - begun))

    def _waited(self, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = {names.CACHE: self._cache, names.WAIT_DURATION: seconds}
        load = None if self._span is None else self._span.get_span_context()
        if load is not None and load.is_valid:
            found[names.LOAD_TRACE_ID] = trace.format_trace_id(load.trace_id)
            found[names.LOAD_SPAN_ID] = trace.format_span_id(load.span_id)
        return found

    def ended(self, how: LoadEnd, reason: BaseException | None) -> None:
        """Note how the load ended for one key; the span ends with the last one."""
        with self._lock:
            self._ends.setdefault(how, reason)
            self._left -= 1
            if self._left or self._span is None:
                return
            span, waiting = self._span, self._waiting
        seconds = time.perf_counter() - self._begun
        worst = min(self._ends, key=_WORST_FIRST.index)
        error = self._ends[worst]
        marked: dict[str, Any] = {names.OUTCOME: worst.value}
        if error is not None and worst in (LoadEnd.FAILED, LoadEnd.INTERRUPTED):
            marked[names.ERROR_TYPE] = type(error).__qualname__
        self._durations.record(seconds, {names.CACHE: self._cache, **marked})
        span.set_attributes({**marked, names.WAITERS: waiting})
        if worst is LoadEnd.FAILED and error is not None:
            # Errors of the library's own name the key.
            if self._keys or not isinstance(error, CenoteError):
                span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
        span.end()
