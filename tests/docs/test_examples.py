"""The examples in README.md and docs/ run and print what they say they print.

The ``python`` blocks of a page run from top to bottom in one program. A ``text`` block right after one is what that
block prints. A block below ``<!-- not run: why -->`` is left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.is_file()]
FENCE = re.compile(
    r"(?P<not_run><!-- not run: [^>]+ -->\s*)?^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
MARK = "\x1eend of block\x1e"


@dataclass
class Example:
    """A block of code, the line it stands in, and what it must print (None: anything)."""

    line: int
    code: str
    prints: str | None = None


def examples(text: str) -> list[Example]:
    """Returns the blocks of a page that are to be run."""
    found: list[Example] = []
    end_of_code = -1
    for block in FENCE.finditer(text):
        if block["language"] == "python" and not block["not_run"]:
            found.append(Example(text.count("\n", 0, block.start("code")) + 1, block["code"]))
            end_of_code = block.end()
        elif block["language"] == "text" and found and not text[end_of_code : block.start()].strip():
            found[-1].prints = block["code"]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_and_print_what_they_show(page: Path, tmp_path: Path) -> None:
    found = examples(page.read_text())
    program = "".join(f"{example.code}\nprint({MARK!r})\n" for example in found)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{page.name}: {done.stderr}"
    printed = done.stdout.split(f"{MARK}\n")
    for example, output in zip(found, printed, strict=False):
        assert example.prints in (None, output), f"{page.name}, line {example.line}, prints:\n{output}"


def test_a_block_is_paired_with_what_stands_right_after_it() -> None:
    page = "```python\nprint(1)\n```\n\n```text\n1\n```\n\nWords.\n\n```text\nno output\n```\n"
    assert examples(page) == [Example(2, "print(1)\n", "1\n")]


def test_a_block_that_is_marked_with_a_reason_is_not_run() -> None:
    assert examples("<!-- not run: it never ends -->\n```python\nwhile True: pass\n```\n") == []
