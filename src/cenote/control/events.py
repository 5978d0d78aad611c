"""Event streams: the audit trail, sent to whoever listens, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.responses import Response

from cenote.control.answers import refuse
from cenote.control.schemas import AuditEventModel

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from cenote import CacheManager
    from cenote.audit import AuditEvent

__all__ = ["Bell", "EventStreamResponse", "EventStreams", "concerns", "event_model", "events_after", "last_id"]

_ALL = 1_000_000
_SEND_SECONDS = 30.0


def event_model(event: AuditEvent) -> AuditEventModel:
    """Turn an event of the trail into its wire form.

    Args:
        event: The event.

    Returns:
        The model.
    """
    return AuditEventModel(
        id=event.id,
        timestamp=event.timestamp,
        action=event.action,
        service_name=event.service,
        mode=event.mode,
        status=event.status,
        entries=event.entries,
        duration_ms=round(event.duration * 1000, 3),
        level=event.level,
        reason=event.reason,
        actor=event.actor,
        clear_id=event.clear_id,
        key=event.key,
        tags=list(event.tags),
        prefix=event.prefix,
        message=event.message,
    )


def last_id(caches: CacheManager) -> int:
    """Return the number of the newest event.

    Args:
        caches: Whose trail it is.

    Returns:
        The number, 0 when there is none.
    """
    newest = caches.audit.events(limit=1)
    return newest[-1].id if newest else 0


def events_after(caches: CacheManager, after: int, service: str | None) -> list[AuditEvent]:
    """Return what the trail still holds.

    Args:
        caches: Whose trail it is.
        after: Only events with a greater number.
        service: Only what concerns this service; None: everything.

    Returns:
        The events, oldest first.
    """
    return [event for event in caches.audit.events(limit=_ALL, after=after) if concerns(event, service)]


def concerns(event: AuditEvent, service: str | None) -> bool:
    """Tell whether an event is about a service.

    Args:
        event: The event.
        service: The service; None: any event will do.

    Returns:
        True for the service's own events and for those that are about everything.
    """
    return service is None or event.service == service or event.action == "clear_all"


class EventStreams:
    """The open streams of one control plane.

    A stream holds no queue: the trail, which is bounded, is the queue of all of them, and a stream is only woken.
    One that falls behind the trail's end says so in a ``gap`` event and goes on.

    Args:
        caches: Whose trail it is.
        limit: How many streams may be open.
        heartbeat: Seconds of silence after which a comment is sent.
        lifetime: Seconds after which a stream ends.
    """

    def __init__(self, caches: CacheManager, *, limit: int, heartbeat: float, lifetime: float) -> None:
        self.caches = caches
        self.heartbeat = heartbeat
        self.lifetime = lifetime
        self.closed = False
        self._limit = limit
        self._open: set[Bell] = set()

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End every stream and refuse new ones; the server's shutdown calls it. May be called from any thread."""
        self.closed = True
        for bell in tuple(self._open):
            bell.ring()

    def enter(self) -> Bell | None:
        """Take a place.

        Returns:
            A bell that rings at events and at the close; None when all places are taken.
        """
        if self.closed or len(self._open) >= self._limit:
            return None
        bell = Bell()
        self._open.add(bell)
        return bell

    def leave(self, bell: Bell) -> None:
        """Give the place back.

        Args:
            bell: What ``enter`` returned.
        """
        self._open.discard(bell)


class Bell:
    """Wakes a stream from any thread; ringing it often before it is heard costs nothing."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._rung = False

    def ring(self, _event: object = None) -> None:
        """Wake the stream."""
        if self._rung:
            return
        self._rung = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            # The loop is closed, so nobody listens any more.
            return

    def clear(self) -> None:
        """Make ready for the next ring; look for news after this, not before."""
        self._event.clear()
        self._rung = False

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring.

        Args:
            seconds: How long at most.

        Returns:
            Whether it rang.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class EventStreamResponse(Response):
    """The answer that streams events until the client, the server or the lifetime ends it.

    Args:
        streams: Where to take a place; without a free one the answer is 503.
        after: The last event that the client has; None: only what happens from now on.
        service: Only events of this service; None: of all.
    """

    media_type = "text/event-stream"

    def __init__(self, streams: EventStreams, *, after: int | None, service: str | None) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._after = after
        self._service = service
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        bell = self._streams.enter()
        if bell is None:
            busy = refuse(503, "too many event streams are open; try again later", {"retry-after": "5"})
            await busy(scope, receive, send)
            return
        unsubscribe = self._streams.caches.audit.subscribe(bell.ring)
        watcher = asyncio.create_task(self._watch(receive, bell))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in self._parts(bell):
                # A client that does not read is dropped, or it would hold its place for ever.
                async with asyncio.timeout(_SEND_SECONDS):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watcher.cancel()
            unsubscribe()
            self._streams.leave(bell)

    async def _watch(self, receive: Receive, bell: Bell) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        bell.ring()

    @property
    def _over(self) -> bool:
        return self._gone or self._streams.closed

    async def _parts(self, bell: Bell) -> AsyncIterator[bytes]:
        streams = self._streams
        trail = streams.caches.audit
        clock = asyncio.get_running_loop().time
        end = clock() + streams.lifetime
        newest = last_id(streams.caches)
        after = newest if self._after is None else self._after
        if after > newest:
            # The client knows a process before this one, whose numbers mean nothing here.
            after = 0
        yield b"retry: 1000\n\n"
        while not self._over:
            bell.clear()
            for event in trail.events(limit=_ALL, after=after):
                if event.id > after + 1:
                    yield _gap(event.id - after - 1, event.id - 1)
                after = event.id
                if concerns(event, self._service):
                    yield _message(event)
            left = end - clock()
            if left <= 0:
                return
            if not await bell.wait(min(streams.heartbeat, left)):
                yield b": still here\n\n"


def _message(event: AuditEvent) -> bytes:
    data = event_model(event).model_dump_json(by_alias=True)
    return f"id: {event.id}\nevent: {event.action}\ndata: {data}\n\n".encode()


def _gap(missed: int, last: int) -> bytes:
    return f"id: {last}\nevent: gap\ndata: {json.dumps({'missed': missed})}\n\n".encode()
