"""Draws docs/images/terminal.svg: ``cenote top`` before a demonstration that has run for a while."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

from cenote.cli.client import CenoteClient
from cenote.cli.top.app import TopApp

IMAGE = Path(__file__).parents[1] / "docs" / "images" / "terminal.svg"
RUN = 90.0
# What an image would fetch from elsewhere.
FONTS = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.DOTALL)


async def draw(url: str) -> str:
    """Look at a server for a while, and return the screen."""
    with CenoteClient(url) as client:
        app = TopApp(client, client)
        async with app.run_test(size=(80, 14)) as pilot:
            await pilot.pause(RUN)
            return app.export_screenshot(title="cenote top")


def main() -> None:
    """Run the demonstration and draw."""
    command = [sys.executable, "-m", "cenote", "demo", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            if demo.stdout is None:
                raise RuntimeError("no output")
            url = json.loads(demo.stdout.readline())["url"]
            picture = FONTS.sub("", asyncio.run(draw(url)))
        finally:
            demo.terminate()
    IMAGE.parent.mkdir(exist_ok=True)
    IMAGE.write_text(
        "\n".join(line.rstrip() for line in picture.splitlines()).replace(url, "http://127.0.0.1:8338") + "\n"
    )
    print(f"{IMAGE}: {IMAGE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
