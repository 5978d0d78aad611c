"""The shell sessions in README.md and docs/ do what they show, against a server that this test starts.

A line of a ``console`` block that begins with ``$`` is a command (a backslash continues it); what stands below it is
what it prints, ``...`` standing for anything. A ``python`` block below ``<!-- file: NAME -->`` is saved under that name
first, and ``<!-- serve: ARGUMENTS -->`` says what ``cenote serve`` is given. A block below ``<!-- not run: why -->`` is
left out.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<note>not run|file): (?P<text>[^>]+) -->\s*)?^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SERVE = re.compile(r"<!-- serve: ([^>]*) -->")
SHOWN_SERVER = "127.0.0.1:8338"
CURL = Path(__file__).with_name("curl.py")


@dataclass
class Step:
    """A command and what it must print."""

    command: str
    prints: str


def steps(text: str) -> list[Step]:
    """Returns the commands of a page that are to be run."""
    found: list[Step] = []
    for block in BLOCK.finditer(text):
        if block["language"] != "console" or block["note"] == "not run":
            continue
        continued = False
        for line in block["code"].splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], ""))
            elif continued:
                found[-1].command += "\n" + line
            else:
                found[-1].prints += line + "\n"
            continued = line.endswith("\\") and (line.startswith("$ ") or continued)
    return found


def files(text: str) -> dict[str, str]:
    """Returns the files that a page shows, by name."""
    return {block["text"]: block["code"] for block in BLOCK.finditer(text) if block["note"] == "file"}


def run_program(folder: Path, name: str, command: str) -> None:
    """Makes a program that commands find under a name."""
    program = folder / name
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@contextmanager
def served(arguments: list[str], folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Runs ``cenote serve`` on a free port and yields its host and port."""
    command = [sys.executable, "-m", "cenote.cli", "serve", "--port", "0", "--json", *arguments]
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"].removeprefix("http://")
        finally:
            server.terminate()
            server.wait(20)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if steps(page.read_text())], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_commands_of_a_page_print_what_they_show(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    for name, code in files(text).items():
        (tmp_path / name).write_text(code)
    programs = tmp_path / "bin"
    programs.mkdir()
    run_program(programs, "cenote", f"{sys.executable} -m cenote.cli")
    run_program(programs, "python", sys.executable)
    if shutil.which("curl") is None:
        run_program(programs, "curl", f"{sys.executable} {CURL}")
    env = {name: value for name, value in os.environ.items() if not name.startswith("CENOTE_")}
    env |= {"PATH": f"{programs}{os.pathsep}{env['PATH']}", "COLUMNS": "100", "NO_COLOR": "1"}
    serve = SERVE.search(text)
    same = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    with served(serve[1].split() if serve else [], tmp_path, env) as server:
        env["CENOTE_SERVER"] = f"http://{server}"
        for step in steps(text):
            command = step.command.replace(SHOWN_SERVER, server)
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=tmp_path,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=30,
            )
            printed = done.stdout.replace(server, SHOWN_SERVER)
            assert same.check_output(step.prints.strip(), printed.strip(), flags), (
                f"{page.name}: {step.command}\nprints:\n{printed}"
            )


def test_a_session_is_read_as_commands_and_what_they_print() -> None:
    page = "```console\n$ echo a \\\n    b\na b\n$ true\n```\n\n<!-- not run: why -->\n```console\n$ reboot\n```\n"
    assert steps(page) == [Step("echo a \\\n    b", "a b\n"), Step("true", "")]


def test_a_block_below_a_file_name_is_that_file() -> None:
    assert files("<!-- file: a.py -->\n```python\nx = 1\n```\n\n```python\ny = 2\n```\n") == {"a.py": "x = 1\n"}
