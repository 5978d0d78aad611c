"""The page that says what the keys do."""

from __future__ import annotations

from typing import Final

from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from cenote.cli.top.page import Page

__all__ = ["HelpPage"]

_TEXT: Final = """\
Everywhere
  Esc            back
  Ctrl-C         quit
  arrows, PgUp, PgDn, Home, End, j, k, g, G

All caches
  Enter          one cache
  /              search; Esc forgets it
  s, S           sort by the next column, the one before
  r              reverse
  m              processes and machines
  c, C           clear the cache under the cursor, clear everything
  q              quit

One cache
  e              its entries; there / takes a prefix or tag:NAME, Enter explains a key, x any key
  h              ten minutes or a day
  c              clear it

* is being cleared, ~ is refilled, red has a hit rate below 50% in the last minute.
The hit rate, reads and curves are of the last minutes, all other figures since the start.
"""


class HelpPage(Page):
    """What the keys do."""

    def heading(self) -> str:
        """Return what the page is about."""
        return "Keys"

    def body(self) -> list[Widget]:
        """Return the text."""
        return [VerticalScroll(Static(_TEXT, markup=False))]
