"""``cenote clear --preview``, and the bar of what takes long."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

import pytest

from cenote.cli.waiting import Waiting

from .conftest import PROGRAM, environment


@pytest.mark.parametrize(("target", "count"), [(["workflow"], 3), (["--global"], 1), (["--all"], 5)])
def test_a_preview_says_what_would_go_and_clears_nothing(served, target, count):
    done = served("clear", *target, "--preview")
    assert done.code == 0
    assert f"\nentries            {count}\n" in "\n".join(line.rstrip() for line in done.out.splitlines())
    assert "level              process, 1 process" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    listed = done.out.partition("some of the entries\n")[2].splitlines()[:count]
    said = served("clear", *target, "--preview", "--json").json
    assert (said["entries"], said["entriesExact"]) == (count, True)
    assert sorted(line.strip() for line in listed) == sorted(said["items"])
    assert served("status", "--json").json["totalEntries"] == 5
    assert served("events", "--json").json["events"] == []


def test_a_preview_of_a_part_counts_the_part(served):
    assert served("clear", "workflow", "--preview", "--tag", "module:0", "--json").json["entries"] == 1
    assert served("clear", "workflow", "--preview", "--prefix", "report", "--soft", "--json").json["mode"] == "soft"
    assert served("clear", "nobody", "--preview").code == 4


def test_a_hostile_key_is_text_in_a_preview(served):
    served.put("%1B%5B2J%0A[red]x", service="etherforce")
    done = served("clear", "etherforce", "--preview", "--prefix", "\x1b")
    assert done.code == 0
    assert "\x1b" not in done.out


@contextmanager
def at_a_terminal():
    """Standard output and standard error are a terminal; yields its other end."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream, redirect_stdout(stream), redirect_stderr(stream):
        yield ours
    os.close(ours)


def test_a_bar_is_shown_after_a_second_and_is_gone_afterwards(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    asked = threading.Event()

    def ask():
        asked.set()
        return 2, 3

    seen = b""
    with at_a_terminal() as terminal:
        with Waiting("waiting for members", quiet=False, ask=ask):
            assert asked.wait(60)
            while b"2 of 3" not in seen:
                seen += os.read(terminal, 4096)
        while not seen.endswith(b"\x1b[2K"):  # the line is erased
            seen += os.read(terminal, 4096)
    assert b"waiting for members" in seen


@pytest.mark.parametrize("quiet", [True, False])
def test_no_bar_is_shown_in_a_pipe_or_with_json(quiet, capfd):
    """Standard output is no terminal here."""
    with Waiting("waiting", quiet=quiet, ask=lambda: (1, 2)) as waiting:
        assert waiting.quiet
        assert waiting._thread is None
    assert capfd.readouterr() == ("", "")


class AtTerminal:
    """A command whose standard streams are a terminal.

    Attributes:
        seen: What it has written.
    """

    def __init__(self, *arguments):
        self._terminal, theirs = pty.openpty()
        self.seen = b""
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm"),
        )
        os.close(theirs)

    def until(self, text):
        """Read until a text was written."""
        while text not in self.seen:
            self.seen += os.read(self._terminal, 4096)

    def end(self):
        """Read to the end, and return the exit code."""
        with suppress(OSError):  # nobody has the other end any more
            while more := os.read(self._terminal, 4096):
                self.seen += more
        os.close(self._terminal)
        return self._process.wait(60)


def test_commands_whose_server_takes_its_time_show_a_bar_until_it_answers(served):
    asked = {
        ("status",): (b"asking for the status", b"5 "),
        ("stats", "workflow"): (b"asking for figures", b"workflow"),
        ("invalidate", "nothing"): (b"invalidating", b"Not in the global cache: nothing"),
        ("clear", "workflow", "--preview"): (b"looking", b"would take 3 entries"),
        ("clear", "workflow", "--dry-run"): (b"counting", b"3 entries would go"),
    }
    server = served.running.process
    server.send_signal(signal.SIGSTOP)
    try:
        commands = [AtTerminal(*each, "--server", served.url, "--timeout", "60") for each in asked]
        for command, (bar, _) in zip(commands, asked.values(), strict=True):
            command.until(bar)
    finally:
        server.send_signal(signal.SIGCONT)
    for command, (_, answer) in zip(commands, asked.values(), strict=True):
        assert command.end() == 0
        told = command.seen.rpartition(b"\x1b[2K")  # the line of the bar is erased
        assert told[1]
        assert answer in told[2]
