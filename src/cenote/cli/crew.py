"""A crew: the worker processes of the demonstration, started, listened to, replaced and stopped."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import cenote
from cenote.audit import AuditEvent
from cenote.cli.failures import CannotStart
from cenote.demo.meter import Summary
from cenote.demo.roster import Member, Roster
from cenote.demo.runner import REQUESTS_PER_SECOND
from cenote.demo.screen import Screen, WorkerNews

__all__ = ["Crew", "Place"]

_FEWEST_REQUESTS: Final = 40
_STEP: Final = 0.05
_LONGEST_TICK: Final = 1.5
_STOP_WITHIN: Final = 15.0
_FALSE_STARTS: Final = 3
"""How often workers may end before they are ready until no more are started."""

_PROGRAM: Final = "import sys; sys.path.append(sys.argv.pop()); from cenote.cli.crew_worker import main; main()"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs.

    Attributes:
        sock: The socket that it serves, listening already.
        caches: The URL of its caches.
    """

    sock: socket.socket
    caches: str


@dataclass(slots=True)
class _Started:
    """A worker process, and the member of the roster that it is."""

    member: Member
    process: subprocess.Popen[str]

    def tell(self, order: str) -> None:
        """Send it a word; one that has ended does not hear it."""
        pipe = self.process.stdin
        if pipe is not None and not pipe.closed:
            with suppress(OSError):
                pipe.write(order + "\n")
                pipe.flush()

    def hang_up(self) -> None:
        """Close what leads to it."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class Crew:
    """Several workers that share caches.

    Args:
        screen: Shows what happens.
        places: Where each of them runs; several may share a socket.
        modules: How many modules each works on.
        orphaned: What workers remove when this process was killed: a directory.
        held: Descriptors that workers hold until they end.
    """

    def __init__(
        self,
        screen: Screen,
        places: Sequence[Place],
        *,
        modules: int,
        orphaned: Path | None = None,
        held: Sequence[int] = (),
    ) -> None:
        self._screen = screen
        self._places = places
        self._modules = modules
        self._orphaned = orphaned
        self._held = held
        self._pace = max(_FEWEST_REQUESTS, REQUESTS_PER_SECOND // len(places))
        self._roster = Roster(len(places))
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._begun_too: Callable[[], object] = bool
        self._running: dict[int, _Started] = {}
        self._begun: float | None = None
        self._shown = 0.0
        self._false_starts = 0
        self._clears = 0
        self._invalidations = 0

    def post(self, call: Callable[[], None]) -> None:
        """Have something done between two events, by the thread that runs the crew."""
        self._posted.put(call)

    def run(self, seconds: float | None, stopping: threading.Event, begun: Callable[[], object] = bool) -> Summary:
        """Run until the time is over or ``stopping`` is set; afterwards no worker is left.

        Args:
            seconds: How long the traffic runs, once all caches are warm; None: until stopped.
            stopping: Ends the run when set.
            begun: Called once the traffic has begun.

        Returns:
            What happened.

        Raises:
            CannotStart: Workers end again and again before they are ready.
        """
        self._begun_too = begun
        try:
            for member in self._roster.members:
                self._start(member, stopping)
            self._watch(seconds, stopping)
            spent = 0.0 if self._begun is None else time.monotonic() - self._begun
        finally:
            self._stop()
        return self._roster.summary(spent, self._clears, self._invalidations)

    def _watch(self, seconds: float | None, stopping: threading.Event) -> None:
        while not stopping.is_set():
            now = time.monotonic()
            if self._begun is not None:
                if seconds is not None and now - self._begun >= seconds:
                    return
                if self._roster.is_due or (self._roster.has_news and now - self._shown >= _LONGEST_TICK):
                    self._shown = now
                    self._screen.tick(self._roster.tick(round(now - self._begun)))
            with suppress(queue.Empty):
                self._posted.get(timeout=_STEP)()

    def _take(self, started: _Started, stopping: threading.Event, document: dict[str, Any] | None) -> None:
        """Take what a worker says; None is its end."""
        member = started.member
        if document is None:
            self._bury(started, stopping)
            return
        event = document.pop("event")
        if event == "warming":
            member.steps = document["done"]
            if self._begun is None:
                self._screen.warming(self._roster.steps, 2 * self._modules * len(self._roster.members))
        elif event == "ready":
            member.state = "ready"
            self._false_starts = 0
            if self._begun is not None:
                self._send_off(started)
            elif self._roster.all_are("ready"):
                self._begin(document["key"])
        elif event == "tick":
            self._roster.heard(member, document)
        elif event == "audit":
            self._hear_event(document)

    def _begin(self, key: str) -> None:
        self._screen.ready(key)
        self._begun = self._shown = time.monotonic()
        for started in list(self._running.values()):
            self._send_off(started)
        self._begun_too()

    def _send_off(self, started: _Started) -> None:
        started.member.state = "busy"
        started.tell("go")
        self._screen.worker(WorkerNews(started.member.number, started.process.pid, "busy"))

    def _hear_event(self, document: dict[str, Any]) -> None:
        names = {field.name.replace("_", ""): field.name for field in fields(AuditEvent)}
        event = AuditEvent(**{names[name.lower()]: value for name, value in document.items()})
        if event.status == "success":
            self._clears += event.action in {"clear", "clear_all"}
            self._invalidations += event.action == "invalidate"
        self._screen.happened(event)

    def _start(self, member: Member, stopping: threading.Event) -> None:
        place = self._places[member.number - 1]
        given = {
            "worker": member.number,
            "socket": place.sock.fileno(),
            "port": place.sock.getsockname()[1],
            "caches": place.caches,
            "orphaned": self._orphaned and str(self._orphaned),
            "modules": self._modules,
            "pace": self._pace,
        }
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(given), str(Path(cenote.__file__).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[place.sock.fileno(), *self._held],
            # A group of its own, so that the terminal's Ctrl-C ends the run here and not in every worker.
            process_group=0,
        )
        started = self._running[member.number] = _Started(member, process)
        member.state, member.pid = "warming", process.pid
        self._screen.worker(WorkerNews(member.number, process.pid, "started"))
        take = partial(self._take, started, stopping)
        threading.Thread(target=self._listen, args=(started, take), name="cenote-crew", daemon=True).start()

    def _listen(self, started: _Started, take: Callable[[dict[str, Any] | None], None]) -> None:
        pipe = started.process.stdout
        if pipe is not None:
            # A worker that is killed may leave half a line.
            with suppress(OSError, ValueError):
                for line in pipe:
                    self.post(partial(take, json.loads(line)))
        self.post(partial(take, None))

    def _bury(self, started: _Started, stopping: threading.Event) -> None:
        """Show that a worker has ended, and start another one in its place."""
        code = started.process.wait()
        started.hang_up()
        member = started.member
        self._running.pop(member.number, None)
        was_warming = member.state == "warming"
        self._roster.ended(member)
        self._screen.worker(WorkerNews(member.number, started.process.pid, "ended", _reason(code)))
        if stopping.is_set():
            return
        self._false_starts += was_warming
        if self._false_starts >= _FALSE_STARTS:
            raise CannotStart(f"Workers end before they are ready ({_reason(code)}); see the lines above.")
        self._start(member, stopping)

    def _stop(self) -> None:
        """End every worker that this crew started, by force those that do not listen."""
        left = list(self._running.values())
        for started in left:
            started.tell("stop")
        end = time.monotonic() + _STOP_WITHIN
        for started in left:
            try:
                started.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                started.process.kill()
                started.process.wait()
            started.hang_up()


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
