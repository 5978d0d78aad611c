"""Clearing everything asks first, at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

import pytest

# Ctrl-C reaches a process through the terminal that controls its session.
PROGRAM = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
from cenote.cli import main
main()
"""


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *arguments, url):
        self._ours, theirs = pty.openpty()
        env = {name: value for name, value in os.environ.items() if not name.startswith("CENOTE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env | {"CENOTE_SERVER": url, "TERM": "xterm", "NO_COLOR": "1"},
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def until(self, text):
        while text not in self.text:
            ready, _, _ = select.select([self._ours], [], [], 60)
            assert ready, self.text
            self.text += os.read(self._ours, 4096).decode()

    def type(self, keys):
        os.write(self._ours, keys)

    def end(self):
        while True:
            try:
                data = os.read(self._ours, 4096)
            except OSError:
                break
            if not data:
                break
            self.text += data.decode()
        os.close(self._ours)
        return self.process.wait(60)


@pytest.mark.parametrize(("keys", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 5), (b"\n", 1, 5), (b"\x04", 1, 5)])
def test_everything_is_cleared_only_after_a_yes(served, keys, code, left):
    terminal = Terminal("clear", "--all", url=served.url)
    terminal.until("[y/N]")
    assert served.url in terminal.text
    terminal.type(keys)
    assert terminal.end() == code
    assert "Traceback" not in terminal.text
    assert served("status", "--json").json["totalEntries"] == left


def test_ctrl_c_at_the_question_is_quiet_and_clears_nothing(served):
    terminal = Terminal("clear", "--all", url=served.url)
    terminal.until("[y/N]")
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.text
    assert served("status", "--json").json["totalEntries"] == 5


def test_one_cache_is_cleared_without_asking(served):
    terminal = Terminal("clear", "workflow", url=served.url)
    assert terminal.end() == 0
    assert "[y/N]" not in terminal.text
