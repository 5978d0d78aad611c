"""The page of a clear: what it would do, a typed word, who acknowledges, the receipt, and the recovery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from cenote.cli.failures import Failure, NotFound, ServerUnreachable
from cenote.cli.top.aside import aside
from cenote.cli.top.background import background
from cenote.cli.top.desk import Desk
from cenote.cli.top.page import Page, say
from cenote.cli.top.receipts import foretold, progress, receipt, recovery, refilling, together
from cenote.cli.top.target import Target, Wish, new_clear_id
from cenote.cli.top.tick import Tick
from cenote.cli.top.words import shown

__all__ = ["ClearPage"]

_SETTLED = 0.3
_LOOK = 0.5
_WATCHED = 900.0
"""Seconds after which nothing comes of a clear any more that would be watched."""

_PART = "The recovery of whole caches is watched, not that of a part."
_ELSEWHERE = "The process that answers did not watch the recovery: it is asked for again."
_FIELDS = {
    "prefix": ("prefix", "only identifiers that begin so"),
    "tags": ("tags", "only entries with one of these, between commas"),
    "rate": ("refill", "loads a second let through afterwards; empty: all"),
    "reason": ("reason", "kept in the audit trail"),
}


class ClearPage(Page):
    """One clear, from the wish to the recovery.

    Args:
        desk: The server that is looked at.
        target: What to clear.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next field"),
        Binding("f2", "open_gate", "End the refill"),
    ]
    CSS = """
    #form, #confirming { height: auto; }
    #form Horizontal, #confirming { height: 1; }
    #form Label, #confirming Label { width: auto; min-width: 9; }
    #form Input, #confirming Input { width: 1fr; }
    #told { height: 1fr; }
    """

    def __init__(self, desk: Desk, target: Target) -> None:
        super().__init__(desk)
        self.target = target
        self.clear_id = ""
        self._seen: Wish | None = None
        self._settling: Timer | None = None
        self._expected: list[Any] = []
        self._clear: dict[str, Any] = {}
        self._answer: dict[str, Any] | None = None
        self._refill: dict[str, Any] | None = None
        self._partial = False
        self._watched = False

    def heading(self) -> str:
        """Return what is to be cleared."""
        return f"Clear {shown(self.target)}"

    def body(self) -> list[Widget]:
        """Return the form, what is told, and the line for the word."""
        rows: list[Widget] = [
            Tick("soft: only mark entries stale", id="soft"),
            *self._rows(),
        ]
        confirm = Horizontal(
            Label(f"type {shown(self.target.word)} and Enter: ", markup=False),
            Input(id="confirm", compact=True),
            id="confirming",
        )
        return [
            Vertical(*rows, id="form"),
            VerticalScroll(Static("…", id="told", markup=False), can_focus=False),
            Static(id="warning", markup=False),
            confirm,
        ]

    def _rows(self) -> Iterator[Widget]:
        for name, (label, hint) in _FIELDS.items():
            if not (self.target.everything and name in {"prefix", "tags"}):
                yield Horizontal(Label(label, markup=False), Input(id=name, compact=True, placeholder=hint))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key does something: only a refill that runs can be ended."""
        if action == "open_gate":
            return bool(self._refill) and (self._refill or {}).get("state") == "running"
        return super().check_action(action, parameters)

    def news(self, kind: str, data: dict[str, Any]) -> None:
        """Take what the server streams of this clear."""
        if not self.clear_id or data.get("clearId") != self.clear_id or self._answer is not None:
            return
        if kind in {"clear-begun", "clear-done"}:
            self._clear = data
        elif kind in {"clear-acknowledged", "clear-lapsed"}:
            self._note(data.get("member") or {})
        else:
            return
        say(self._told, progress(self._clear, self._expected))

    def _note(self, member: dict[str, Any]) -> None:
        """Put what became of one member where it stood, or behind the others."""
        who = (member.get("name"), member.get("pid"))
        members = list(self._clear.get("members") or ())
        for place, each in enumerate(members):
            if (each.get("name"), each.get("pid")) == who:
                members[place] = member
                break
        else:
            members.append(member)
        self._clear = {**self._clear, "members": members}

    @property
    def _told(self) -> Static:
        return self.query_one("#told", Static)

    def _wish(self) -> Wish:
        """Read the form.

        Raises:
            ValueError: The rate is no number.
        """
        typed = {field.id: field.value.strip() for field in self.query(Input)}
        rate = typed["rate"]
        return Wish(
            self.target,
            mode="soft" if self.query_one("#soft", Tick).value else "hard",
            prefix=typed.get("prefix", ""),
            tags=tuple(tag.strip() for tag in typed.get("tags", "").split(",") if tag.strip()),
            rate=float(rate) if rate else None,
            reason=typed["reason"],
        )

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if event.input.id not in {"confirm", "reason"}:
            self._other_wish()

    @on(Tick.Changed)
    def _other_wish(self) -> None:
        """Preview what is wanted now, once nothing was typed for a moment."""
        self._seen = None
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLED, self._look)

    def _look(self) -> None:
        background(self, self._preview, exclusive=True, group="preview")

    async def _preview(self) -> None:
        try:
            wish = self._wish()
            preview = await self.desk.ask(lambda client: client.preview(**wish.previewed(), maxItems=4))
        except ValueError:
            self._warn("the refill is a number of loads a second")
            return
        except Failure as failure:
            self._warn(str(failure))
            return
        self._seen = wish
        self._expected = [member.get("name") for member in preview.get("members") or ()]
        self._warn("")
        say(self._told, foretold(preview, self.size.width))

    def _warn(self, text: str) -> None:
        say(self.query_one("#warning", Static), shown(text), "bold yellow")

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if event.input.id != "confirm":
            self.focus_next()
            return
        if event.value != self.target.word:
            self._warn(f"nothing was cleared: type {self.target.word}")
            return
        try:
            wish = self._wish()
        except ValueError:
            return
        # Only what was shown is cleared: the form may have changed since.
        if self._seen is None or self._seen.previewed() != wish.previewed():
            self._warn("nothing was cleared: the preview is not here yet")
            return
        self._begin(wish)

    def _begin(self, wish: Wish) -> None:
        self.clear_id = new_clear_id()
        self._partial = bool(wish.prefix or wish.tags)
        for part in ("#form", "#confirming"):
            self.query_one(part).display = False
        self.query_one(VerticalScroll).can_focus = True
        self.query_one(VerticalScroll).focus()
        self._warn("")
        say(self._told, "clearing…")
        background(self, partial(self._run, wish), group="clear")
        background(self, self._watch, group="watch")

    async def _run(self, wish: Wish) -> None:
        try:
            self._answer = await aside(lambda: wish.clear(self.desk.patient, self.clear_id))
        except ServerUnreachable as failure:
            self._answer = failure.answer or {}
            say(self._told, "")
            self._warn(f"{failure} Whether it was cleared is not known; receipt {self.clear_id}")
            return
        except Failure as failure:
            self._answer = failure.answer or {}
            level = self._answer.get("level")
            self._warn(f"NOT cleared as promised: {failure}" + ("" if level is None else f" (level {level})"))
            say(self._told, "")
            return
        say(self._told, receipt(self._answer))

    async def _watch(self) -> None:
        """Ask how far it has come, which another process than the one that streams may know, then how it recovers."""
        while self._answer is None:
            await asyncio.sleep(_LOOK)
            await self._ask_progress()
        if not self._answer.get("success"):
            return
        over, end = False, time.monotonic() + _WATCHED
        while not over and time.monotonic() < end:
            over = await self._ask_recovery()
            await asyncio.sleep(_LOOK)

    async def _ask_progress(self) -> None:
        try:
            clear = await self.desk.ask(lambda client: client.clear_progress(self.clear_id))
        except Failure:
            return  # not begun yet, or the server is away, as the first line says
        if self._answer is None:
            self._clear = clear
            say(self._told, progress(clear, self._expected))

    async def _ask_recovery(self) -> bool:
        answer = self._answer or {}
        try:
            self._refill = await self._ask_refill()
            said = await self.desk.ask(lambda client: client.recovery(self.clear_id))
        except NotFound:
            # The process that cleared may answer next time. Nobody watches the recovery of a part.
            told = [_PART if self._partial else _ELSEWHERE, *refilling(self._refill)]
            if self._partial or not self._watched:
                say(self._told, "\n".join([receipt(answer), "", *told]))
                self.refresh_bindings()
            return self._partial
        except Failure as failure:
            return not isinstance(failure, ServerUnreachable)
        self._watched = True
        said = {**said, "refill": self._refill}
        say(self._told, f"{receipt(answer)}\n\n{recovery(said, self.size.width)}")
        self.refresh_bindings()
        going = (self._refill or {}).get("state") == "running"
        return bool((said.get("actual") or {}).get("over")) and not going

    async def _ask_refill(self) -> dict[str, Any] | None:
        """Return the refill behind this clear; behind a clear of everything, those of its caches together."""
        if self.target.everything:
            overview = await self.desk.ask(lambda client: client.overview(limit=500, sparklines=False))
            refills = [row.get("refill") or {} for row in overview.get("caches") or ()]
            return together([each for each in refills if each.get("clearId") == self.clear_id])
        detail = await self.desk.ask(lambda client: client.detail(self.target.service))
        refill: dict[str, Any] = detail.get("refill") or {}
        return refill if refill.get("clearId") == self.clear_id else None

    def _action_open_gate(self) -> None:
        async def stop() -> None:
            try:
                everything = self.target.everything
                await self.desk.ask(lambda client: client.stop_refill(self.target.service, everything=everything))
            except Failure as failure:
                self._warn(str(failure))

        background(self, stop)

    @on(events.Mount)
    def _begin_page(self) -> None:
        self.query_one("#confirm", Input).focus()
        self._look()
