"""``cenote top`` on a real terminal, read by a terminal emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pyte
import pytest

PROGRAM = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from cenote.cli import main
main()
"""
PATIENCE = 60.0
# 38;5, 48;5: 256 colours; 38;2, 48;2: all colours.
MORE_COLOURS = re.compile(rb"\x1b\[(?:[\d;]*;)?[34]8;[25][;\d]*m")
ANY_COLOUR = re.compile(rb"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;\d]*m")


class Terminal:
    """A command at a terminal of 80 by 24."""

    def __init__(self, *arguments, **environment):
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self._theirs)
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CENOTE_", "TEXTUAL")) and name not in {"NO_COLOR", "COLORTERM", "COLUMNS", "LINES"}
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env=clean | {"TERM": "xterm"} | environment,
            start_new_session=True,
        )
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""

    @property
    def lines(self):
        return [line.rstrip() for line in self._screen.display]

    def _read(self, seconds):
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if not ready:
            return False
        data = os.read(self._ours, 65536)
        self.written += data
        self._stream.feed(data)
        return True

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition("\n".join(self.lines)):
            assert self.process.poll() is None, b"it ended: " + self.written[-2000:]
            assert time.monotonic() < end, "\n".join(self.lines)
            self._read(end - time.monotonic())

    def see(self, text):
        self.until(lambda shown: text in shown)

    def type(self, keys):
        os.write(self._ours, keys)

    def end(self):
        """The exit code; everything that was written before is read."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self._read(0.1)
        while self._read(0):
            pass
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def is_as_before(self):
        """Whether the terminal was left as it was found."""
        left = self.written.rpartition(b"\x1b[?1049l")
        return termios.tcgetattr(self._theirs) == self.before and left[1] != b"" and b"\x1b[?25h" in self.written


@pytest.fixture
def terminal():
    opened = []

    def begin(*arguments, **environment):
        opened.append(Terminal(*arguments, **environment))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


ABLE = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
"""A terminal of all colours: one of sixteen is given no others, whatever is asked for."""


@pytest.mark.parametrize("able", [{}, ABLE], ids=["sixteen", "all"])
def test_caches_are_looked_through_in_sixteen_colours_and_the_terminal_is_left_as_it_was(busy, terminal, able):
    served = busy()
    shown = terminal("top", CENOTE_SERVER=served.url, **able)
    shown.see("books")
    shown.see("Quit")
    served("clear", "shop", "--refill-rate", "0.1")
    shown.see("~shop")
    shown.type(b"\x1b[B\r")
    shown.see("hit rate ever")
    shown.type(b"e")
    shown.see("20 entries")
    shown.type(b"\x1b")
    shown.see("hit rate ever")
    shown.type(b"\x1b")
    shown.see("cache▲")
    shown.type(b"q")
    assert shown.end() == 0
    assert shown.is_as_before()
    assert MORE_COLOURS.search(shown.written) is None
    assert ANY_COLOUR.search(shown.written) is not None
    assert b"Traceback" not in shown.written


def test_without_colours_nothing_is_coloured_and_the_cursor_still_shows(busy, terminal):
    served = busy()
    shown = terminal("top", CENOTE_SERVER=served.url, NO_COLOR="1")
    shown.see("shop")
    shown.see("Quit")
    shown.type(b"\x03")
    assert shown.end() == 0
    assert shown.is_as_before()
    assert ANY_COLOUR.search(shown.written) is None
    assert re.search(rb"\x1b\[(?:\d+;)*7(?:;\d+)*m", shown.written) is not None


def test_a_hostile_key_reaches_the_terminal_as_text(busy, terminal):
    served = busy()
    shown = terminal("top", CENOTE_SERVER=served.url)
    shown.see("shop")
    shown.type(b"\x1b[F\r")
    shown.see("hit rate ever")
    shown.type(b"e")
    shown.see(r"\x1b]0;owned\x07")
    assert b"\x1b]0;owned" not in shown.written
    # Textual tells the shape of the mouse pointer in this way.
    assert b"\x07" not in re.sub(rb"\x1b\]22;[a-z-]+\x07", b"", shown.written)
    shown.type(b"\x03")
    assert shown.end() == 0


def test_a_server_that_is_killed_and_started_again_is_looked_at_again(busy, terminal):
    served = busy()
    shown = terminal("top", CENOTE_SERVER=served.url)
    shown.see("books")
    served.running.process.kill()
    served.running.end()
    shown.see("away")
    busy("--port", served.url.rpartition(":")[2])
    shown.until(lambda text: "away" not in text and "operator" in text)
    shown.type(b"q")
    assert shown.end() == 0
    assert shown.is_as_before()


def test_a_server_that_is_not_there_yet_is_waited_for(busy, host, terminal):
    served = host()
    served.running.process.kill()
    served.running.end()
    shown = terminal("top", CENOTE_SERVER=served.url)
    shown.see("No server answers")
    busy("--port", served.url.rpartition(":")[2])
    shown.see("books")
    shown.type(b"q")
    assert shown.end() == 0


@pytest.mark.parametrize(("token", "said"), [("wrong", "refused the token"), ("", "wants a token")])
def test_a_token_that_does_not_fit_ends_it_before_it_begins(host, terminal, token, said):
    served = host(token="right")
    shown = terminal("top", CENOTE_SERVER=served.url, CENOTE_TOKEN=token)
    assert shown.end() == 5
    assert said in "\n".join(shown.lines).replace("\n", " ")
    assert b"\x1b[?1049h" not in shown.written


def test_without_a_terminal_it_says_what_to_use_instead(served):
    done = served("top")
    assert done.code == 2
    assert "needs a terminal" in done.err
    assert served("top", "--json").json["totals"]["currentSize"] == 5


def test_a_missing_textual_names_the_command_that_installs_it():
    code = "import sys; sys.modules['textual'] = None; from cenote.cli import main; sys.argv[1:] = ['top']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert 'pip install "cenote[top]"' in done.stderr
