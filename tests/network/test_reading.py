"""What is read from the server is served only if it is valid by the log that it was read beside."""

from __future__ import annotations

import pytest
from tests.machine.processes import wait_until

LOSE_THE_FILE = """
import shutil
from pathlib import Path
link = caches._shared.store._link
fetch = link.fetch

def late(keys, log):
    # Between the answer and the verdict on it this machine loses the file that it follows, and cannot make another one.
    found = fetch(keys, log)
    link.fetch = fetch
    folder = Path(caches._log.path.parent)
    while folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)  # the agent may be making a file in it
    folder.touch()
    caches.rejoin()
    return found

link.fetch = late
"""
LOSE_THE_LOG = """
import time
link, client = caches._shared.store._link, caches._log.ledger.link.client
fetch, before = link.fetch, caches._log.incarnation

def late(keys, log):
    # Between the answer and the verdict on it the server loses its log, and this machine follows the next one.
    found = fetch(keys, log)
    link.fetch = fetch
    client.unlink(log, log.removesuffix("log") + "tags")
    end = time.monotonic() + 20
    while caches._log.incarnation == before or not caches._log.connected:
        assert time.monotonic() < end
        caches.rejoin()
        time.sleep(0.001)
    return found

link.fetch = late
"""
READS = {
    "get": "cache.get('k')",
    "get_or_load": "cache.get_or_load('k', lambda: 'new')",
    "aget": "asyncio.run(cache.aget('k'))",
}


def served(process, read):
    """Return what a read is served that asks the server; one without a lease may not."""
    found = []

    def asked():
        found.append(process.ask(READS[read]))
        return process.ask("link.fetch is fetch")

    wait_until(asked)
    return found


@pytest.mark.parametrize("read", READS)
def test_what_tags_made_old_is_not_served_when_the_log_is_lost_while_it_is_read(site, read):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set('k', 'old', tags=['t'])")
    site.reads(one, "old")
    one.do("cache.invalidate_tags('t'); import asyncio")
    one.do(LOSE_THE_LOG)
    assert "old" not in served(one, read)


@pytest.mark.parametrize("read", READS)
def test_a_read_finds_nothing_when_the_machine_loses_its_file_meanwhile(site, read):
    one = site.process("a", "import asyncio")
    site.ripen(one)
    one.do("cache.set('k', 'old')")
    one.do(LOSE_THE_FILE)
    assert served(one, read)[-1] in (None, "new")
