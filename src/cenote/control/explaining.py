"""Explanations: what is known of one key, and which clear it was that took it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cenote.audit import timestamp_of
from cenote.control.events import event_model
from cenote.control.operator_schemas import ExplainResponse, LastMiss
from cenote.control.overview import moment

if TYPE_CHECKING:
    from cenote import CacheManager
    from cenote.audit import AuditEvent
    from cenote.control.plane import ControlPlane
    from cenote.result import EntryInfo, Miss

__all__ = ["explain", "last_clear"]

_ALL = 1_000_000
_NEAR_SECONDS = 1.5
"""How far the time of a departure, known in whole seconds, may be from that of its cause."""


def explain(plane: ControlPlane, key: str, service: str | None) -> ExplainResponse:
    """Say what is known of one key.

    Args:
        plane: The caches.
        key: Its identifier.
        service: The service; None: the global cache.

    Raises:
        UnknownServiceError: There is no such service.
    """
    cache = plane.cache(service)
    info = cache.explain(key)
    miss = cache.last_miss(key)
    event = _covering(plane.caches, service, info, miss)
    return ExplainResponse(
        key=info.key,
        service_name=service,
        state=info.state,
        reason=info.reason,
        born_at=None if info.age is None else moment(plane.caches.now() - info.age),
        age=info.age,
        expires_in=info.expires_in,
        hard_end_in=info.hard_end_in,
        tags=list(info.tags),
        load_seconds=info.load_seconds,
        size=info.size,
        reads=info.reads,
        birth=info.birth,
        loading=info.loading,
        error=info.error,
        last_miss=LastMiss(
            why=miss.why,
            sentence=miss.sentence,
            at=None if miss.when is None else timestamp_of(miss.when),
            clear_id=miss.clear_id,
        ),
        cleared_by=None if event is None else event_model(event),
    )


def last_clear(caches: CacheManager, service: str | None) -> AuditEvent | None:
    """Return the last clear of a cache, of those that this process did.

    Args:
        caches: The manager.
        service: The service; None: the global cache.
    """
    for event in reversed(caches.audit.events(limit=_ALL)):
        if event.action == "clear_all" or (event.action == "clear" and event.service == service):
            return event
    return None


def _covering(caches: CacheManager, service: str | None, info: EntryInfo, miss: Miss) -> AuditEvent | None:
    """Return the last clear or invalidation that took a key, or marked it."""
    for event in reversed(caches.audit.events(limit=_ALL)):
        if event.status != "success" or not (event.service == service or event.action == "clear_all"):
            continue
        if event.action == "invalidate":
            if event.key == info.key:
                return event
        elif event.action in {"clear", "clear_all"} and _took(event, info, miss):
            return event
    return None


def _took(event: AuditEvent, info: EntryInfo, miss: Miss) -> bool:
    if not event.tags and event.prefix is None:
        return True
    if event.prefix is not None and info.key.startswith(event.prefix):
        return True
    if set(event.tags) & set(info.tags):
        return True
    # The tags of what is gone are not known, but when it went is.
    went = miss.when if miss.why == "invalidated" and event.tags else None
    return went is not None and abs((datetime.fromisoformat(event.timestamp) - went).total_seconds()) <= _NEAR_SECONDS
