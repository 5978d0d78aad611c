"""The live stream: what an operator's page or terminal shows, as it changes.

Clears, invalidations and switches are told as they happen and kept, so a client that reconnects misses none that is
still held. What caches do is told now and then, only of those that changed, and not again.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.responses import Response

from cenote.control.answers import refuse
from cenote.control.events import event_model
from cenote.control.operator_schemas import CacheRow
from cenote.control.overview import moment, refill_model, row, totals_row
from cenote.control.routes.clears import clear_model, member_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import BaseModel
    from starlette.types import Receive, Scope, Send

    from cenote import CacheManager
    from cenote.audit import AuditEvent
    from cenote.control.events import Bell
    from cenote.control.plane import ControlPlane
    from cenote.register import News

__all__ = ["Journal", "LiveStreamResponse", "Told"]

KEPT: Final = 1000
"""How many events are kept for those who reconnect."""

MOST_ROWS: Final = 500
"""How many caches one tick tells of at most."""

_SEND_SECONDS: Final = 30.0
_TICKED: Final = ("hits", "misses", "current_size", "evictions", "loads", "load_failures", "refill", "clearing")


class Told(NamedTuple):
    """One event: its number, its name, and what it says.

    It is put into JSON for a stream that sends it, and not by whoever clears.
    """

    number: int
    kind: str
    data: BaseModel | dict[str, Any]

    def text(self) -> str:
        """Return what it says in JSON."""
        plain = self.data if isinstance(self.data, dict) else self.data.model_dump(by_alias=True)
        return json.dumps(plain, separators=(",", ":"))


class Journal:
    """The events of one control plane, in one order, and who waits for them.

    Attributes:
        epoch: Tells this process's numbers from those of any other.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self._told: deque[Told] = deque(maxlen=KEPT)
        self._last = 0
        self._bells: set[Bell] = set()
        self._refills: dict[str | None, str] = {}
        self._lock = threading.RLock()
        self._pid = 0

    def attend(self, caches: CacheManager) -> None:
        """Hear of what happens to a manager's caches, in this process; a forked child has to call it again."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
        caches.audit.register.subscribe(self.hear_clear)
        caches.audit.subscribe(self.hear_event)

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._last

    def hear_clear(self, news: News) -> None:
        """Tell of a clear; in the thread that clears."""
        if news.kind in {"begun", "done"}:
            self.tell(f"clear-{news.kind}", clear_model(news.note))
        elif news.member is not None:
            member = member_model(news.member).model_dump(by_alias=True)
            self.tell(f"clear-{news.kind}", {"clearId": news.note.clear_id, "member": member})

    def hear_event(self, event: AuditEvent) -> None:
        """Tell of an invalidation or a switch; in the thread that did it."""
        kind = {"invalidate": "invalidated", "switch": "switched"}.get(event.action)
        if kind is not None:
            self.tell(kind, event_model(event))

    def tell(self, kind: str, data: BaseModel | dict[str, Any]) -> None:
        """Number and keep an event, and wake who waits; from any thread. What is told must not change any more."""
        with self._lock:
            number = self._last + 1
            self._told.append(Told(number, kind, data))
            self._last = number
        for bell in tuple(self._bells):
            bell.ring()

    def note_refills(self, caches: CacheManager) -> None:
        """Tell of the refills that began, went on or ended since somebody last looked."""
        for name in [None, *caches.services()]:
            cache = caches.find(name)
            model = None if cache is None else refill_model(cache, caches.level)
            if model is None:
                continue
            data = model.model_dump(by_alias=True) | {"serviceName": name}
            mark = json.dumps({key: value for key, value in data.items() if key != "seconds"})
            with self._lock:
                known = self._refills.get(name) == mark
                self._refills[name] = mark
            if not known:
                self.tell("refill", data)

    def after(self, number: int) -> list[Told]:
        """Return the events after a number that are still held, oldest first."""
        return [told for told in list(self._told) if told.number > number]

    def place_of(self, event_id: str | None) -> tuple[int, int | None] | None:
        """Return where a client that has an event goes on, and how many it missed; None where that is not known."""
        if event_id is None:
            return self._last, 0
        epoch, _, number = event_id.rpartition("-")
        if epoch != self.epoch or not number.isdigit() or int(number) > self._last:
            return None
        oldest = self._told[0].number if self._told else self._last + 1
        return int(number), max(0, oldest - int(number) - 1)

    def join(self, bell: Bell) -> None:
        """Wake a stream at every event from now on."""
        self._bells.add(bell)

    def leave(self, bell: Bell) -> None:
        """Do so no more."""
        self._bells.discard(bell)


class LiveStreamResponse(Response):
    """The answer that streams until the client, the server or the lifetime ends it.

    Args:
        plane: The caches.
        names: The caches to tell of; None: all.
        interval: Seconds from one tick to the next.
        last_event: The last event that the client has; None: it has none.
    """

    media_type = "text/event-stream"

    def __init__(
        self, plane: ControlPlane, *, names: list[str | None] | None, interval: float, last_event: str | None
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._plane = plane
        self._names = None if names is None else set(names)
        self._interval = interval
        self._last_event = last_event
        self._seen: dict[str | None, tuple[Any, ...]] = {}
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        streams, journal = self._plane.streams, self._plane.journal
        bell = streams.enter()
        if bell is None:
            busy = refuse(503, "too many event streams are open; try again later", {"retry-after": "5"})
            await busy(scope, receive, send)
            return
        journal.join(bell)
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
            journal.leave(bell)
            streams.leave(bell)

    async def _watch(self, receive: Receive, bell: Bell) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        bell.ring()

    async def _parts(self, bell: Bell) -> AsyncIterator[bytes]:
        plane, journal = self._plane, self._plane.journal
        clock = asyncio.get_running_loop().time
        begin = clock()
        place = journal.place_of(self._last_event)
        yield b"retry: 1000\n\n"
        after, missed = (journal.last, None) if place is None else place
        if place is None or missed:
            yield self._event("reset", json.dumps({"missed": missed}), after)
        yield await self._tick(after, full=True)
        ticked = spoken = clock()
        while not (self._gone or plane.streams.closed) and clock() < begin + plane.streams.lifetime:
            bell.clear()
            for told in journal.after(after):
                after = told.number
                yield self._event(told.kind, told.text(), after)
                spoken = clock()
            if clock() >= ticked + self._interval:
                ticked = clock()
                part = await self._tick(after, full=False)
                await plane.run(lambda: journal.note_refills(plane.caches), quick=False)
                if part:
                    yield part
                    spoken = clock()
                elif clock() >= spoken + plane.streams.heartbeat:
                    yield b": still here\n\n"
                    spoken = clock()
                if journal.last > after:
                    continue
            left = min(ticked + self._interval, begin + plane.streams.lifetime) - clock()
            await bell.wait(max(0.0, left))

    async def _tick(self, after: int, *, full: bool) -> bytes:
        data = await self._plane.run(lambda: self._look(full=full), quick=False)
        return b"" if data is None else self._event("overview", data, after)

    def _look(self, *, full: bool) -> str | None:
        """Return what caches do, as JSON; None where nothing changed."""
        caches = self._plane.caches
        caches.watch()
        figures = caches.figures(recent=True)
        rows = []
        for name, stats in figures.items():
            if self._names is not None and name not in self._names:
                continue
            shown = row(caches, name, stats, sparkline=False)
            mark = tuple(str(shown[field]) for field in _TICKED)
            if full or self._seen.get(name) != mark:
                rows.append((shown, self._moved(name, shown)))
                self._seen[name] = mark
        if not rows and not full:
            return None
        rows.sort(key=lambda each: each[1], reverse=True)
        totals = totals_row(caches, figures, sparkline=False).model_dump(by_alias=True)
        told = [_live_row(shown) for shown, _ in rows[:MOST_ROWS]]
        whole = {"timestamp": moment(caches.now()), "full": full, "totals": totals, "caches": told}
        return json.dumps(whole, separators=(",", ":"))

    def _moved(self, name: str | None, shown: dict[str, Any]) -> int:
        before = self._seen.get(name)
        return int(shown["hits"] + shown["misses"]) - (int(before[0]) + int(before[1]) if before else 0)

    def _event(self, kind: str, data: str, number: int) -> bytes:
        return f"id: {self._plane.journal.epoch}-{number}\nevent: {kind}\ndata: {data}\n\n".encode()


def _live_row(shown: dict[str, Any]) -> dict[str, Any]:
    return CacheRow(**shown).model_dump(by_alias=True, exclude={"sparkline"})
