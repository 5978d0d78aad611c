"""Takes the pictures of the operator's page that the documentation shows, of a demo that really runs.

They land in docs/images. The longer the demo has run before (``--after``), the more its charts have to show.
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
LARGEST = 200_000
BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


@contextmanager
def demo() -> Iterator[str]:
    """Runs the demo with three processes and yields its address once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "cenote", "demo", "--workers", "3", "--port", str(port), "--json"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        try:
            with httpx.Client(base_url=url, trust_env=False, timeout=10) as http:
                while running.poll() is None:
                    try:
                        if http.get("/readyz").is_success:
                            break
                    except httpx.TransportError:
                        time.sleep(0.2)
            yield url
        finally:
            running.terminate()


def view(browser: Browser, url: str, *, scheme: str, width: int, height: int, scale: float = 1) -> Page:
    """Opens the page in a window of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=scale,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    expect(page.locator(".rows .c-hit").filter(has_text="%").first).to_be_visible()
    return page


def shoot(page: Page, name: str) -> None:
    """Writes one picture and refuses one that is too large."""
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size // 1000} kB")
    if size > LARGEST:
        raise SystemExit(f"{path.name} has more than {LARGEST} bytes")


def clear(page: Page, watch: float) -> None:
    """Takes the pictures of a clear: what it would take, and how the hit rate comes back."""
    page.get_by_role("button", name="Clear etherforce…").click()
    dialog = page.get_by_role("dialog")
    act = dialog.locator("footer button.danger")
    expect(act).to_have_text(re.compile(r"^Clear [\d,]+ entr"))
    expect(dialog.locator(".preview canvas")).to_be_visible()
    dialog.get_by_label("Type etherforce to confirm").fill("etherforce")
    shoot(page, "clear")
    act.click()
    expect(dialog.locator(".recovery canvas")).to_be_visible()
    page.wait_for_timeout(1000 * watch)
    shoot(page, "recovery")


def main() -> None:
    """Takes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--after", type=float, default=600, help="seconds that the demo runs before")
    parser.add_argument("--watch", type=float, default=90, help="seconds that a recovery is watched")
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("no browser: install chromium")
    IMAGES.mkdir(exist_ok=True)
    expect.set_options(timeout=30_000)
    with demo() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=BROWSER)
        time.sleep(options.after)
        for scheme in ("light", "dark"):
            shoot(view(browser, url, scheme=scheme, width=1280, height=620), f"overview-{scheme}")
        shoot(view(browser, url, scheme="light", width=360, height=700), "phone")
        clear(view(browser, url, scheme="light", width=1120, height=860), options.watch)
        browser.close()


if __name__ == "__main__":
    main()
