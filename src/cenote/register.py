"""The register of clears: those under way and the last ones, for whoever wants to see them happen."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from cenote import locks
from cenote.clock import Clock

__all__ = ["ClearNote", "ClearRegister", "MemberNote", "News"]

KEPT_CLEARS: Final = 100

logger = logging.getLogger("cenote.audit")


@dataclass(slots=True)
class MemberNote:
    """A machine or a process that a clear is for.

    Attributes:
        name: What a machine is called; a process's number.
        acknowledged: Whether it is known to serve nothing older.
        after: Seconds from the clear's begin until then; None while it is not known.
        lapsed: Whether it said nothing, and was waited for until it could not serve anything older.
    """

    name: str | int
    acknowledged: bool = False
    after: float | None = None
    lapsed: bool = False


@dataclass(slots=True, kw_only=True)
class ClearNote:
    """One clear, while it goes on and afterwards.

    Attributes:
        clear_id: Its receipt.
        service: The service; None is the global cache, or all of them.
        everything: Whether it is of all caches.
        mode: "hard" or "soft".
        scope: What it is restricted to, in words; None for a whole cache.
        started: When it began, in seconds since the Unix epoch.
        began: The same in monotonic seconds.
        actor: Who did it.
        reason: Why.
        state: "running", "done" or "failed".
        ended: When it ended, in seconds since the Unix epoch.
        duration: Seconds that it took.
        level: The guarantee reached.
        entries: How many entries went.
        message: One sentence for people.
        members: Who had to learn of it.
    """

    clear_id: str
    service: str | None
    everything: bool
    mode: str
    scope: str | None
    started: float
    began: float
    actor: str | None = None
    reason: str | None = None
    state: Literal["running", "done", "failed"] = "running"
    ended: float | None = None
    duration: float | None = None
    level: str = "none"
    entries: int | None = None
    message: str = ""
    members: list[MemberNote] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class News:
    """What happened to a clear.

    Attributes:
        kind: "begun", "acknowledged", "lapsed" or "done".
        note: The clear.
        member: Whom it is about.
    """

    kind: Literal["begun", "acknowledged", "lapsed", "done"]
    note: ClearNote
    member: MemberNote | None = None


class ClearRegister:
    """The clears that this process was asked for, the last hundred, and whoever wants to hear of them."""

    def __init__(self, clock: Clock) -> None:
        """Make an empty register.

        Args:
            clock: Where times come from.
        """
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew, in a forked child too, where locks may be held by nobody."""
        self._lock = locks.make_lock()
        self._notes: OrderedDict[str, ClearNote] = OrderedDict()
        self._listeners: list[Callable[[News], None]] = []

    def begin(
        self,
        clear_id: str,
        *,
        service: str | None,
        everything: bool,
        mode: str,
        scope: str | None,
        actor: str | None,
        reason: str | None,
    ) -> ClearNote:
        """Note that a clear begins."""
        note = ClearNote(
            clear_id=clear_id,
            service=service,
            everything=everything,
            mode=mode,
            scope=scope,
            started=self._clock.time(),
            began=self._clock.monotonic(),
            actor=actor,
            reason=reason,
        )
        with self._lock:
            self._notes[clear_id] = note
            while len(self._notes) > KEPT_CLEARS:
                self._notes.popitem(last=False)
        self._tell(News("begun", note))
        return note

    def acknowledged(self, note: ClearNote, name: str | int, *, lapsed: bool = False) -> None:
        """Note that a member learned of a clear, or can serve nothing older because its time was over."""
        member = next((each for each in note.members if each.name == name), None)
        if member is not None and (member.acknowledged or member.lapsed):
            return
        if member is None:
            member = MemberNote(name)
            note.members.append(member)
        member.acknowledged, member.lapsed = not lapsed, lapsed
        member.after = self._clock.monotonic() - note.began
        self._tell(News("lapsed" if lapsed else "acknowledged", note, member))

    def end(self, note: ClearNote, *, success: bool, level: str, entries: int, duration: float, message: str) -> None:
        """Note how a clear ended."""
        note.state = "done" if success else "failed"
        note.ended = self._clock.time()
        note.level, note.entries, note.duration, note.message = level, entries, duration, message
        self._tell(News("done", note))

    def find(self, clear_id: str) -> ClearNote | None:
        """Return a clear by its receipt."""
        return self._notes.get(clear_id)

    def last(self, most: int) -> list[ClearNote]:
        """Return the last clears, the newest first."""
        with self._lock:
            return list(reversed(self._notes.values()))[:most]

    def subscribe(self, listener: Callable[[News], None]) -> Callable[[], None]:
        """Call a function with all news, in the thread that clears; it must be quick.

        Returns:
            A function that ends the subscription.
        """
        with self._lock:
            self._listeners = [*self._listeners, listener]

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = [each for each in self._listeners if each is not listener]

        return unsubscribe

    def _tell(self, news: News) -> None:
        for listener in self._listeners:
            try:
                listener(news)
            except Exception:
                logger.exception("a listener of the register of clears failed")
