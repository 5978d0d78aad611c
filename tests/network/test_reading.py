"""What is read from the server is served only if it is valid by the log that it was read beside."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
LOSE_THE_FILE = """
import shutil
from pathlib import Path
store = caches._shared.store
check = store._checked

def late(*answer):
    # Between the answer and the verdict on it this machine loses the file that it follows, and cannot make another one.
    store._checked = check
    folder = Path(caches._log.path.parent)
    while folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)  # the agent may be making a file in it
    folder.touch()
    caches.rejoin()
    return check(*answer)

store._checked = late
"""
LOSE_THE_LOG = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.waiting import wait_until
store, ledger = caches._shared.store, caches._log.ledger
check, log, before = store._checked, ledger.log_key, caches._log.incarnation

def follows_another():
    caches.rejoin()
    try:
        return caches._log.connected and caches._log.incarnation != before
    except ClearFailedError:
        return False  # the one file is gone, and the next one is not there yet

def late(*answer):
    # Between the answer and the verdict on it the server loses its log, and this machine follows the next one.
    store._checked = check
    ledger.link.client.unlink(log, log.removesuffix("log") + "tags")
    wait_until(follows_another)
    return check(*answer)

store._checked = late
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
        return process.ask("store._checked is check")

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


WATCH = """
import asyncio, threading
threads = set()
ledger = caches._log.ledger

def watched(name):
    ask = getattr(ledger, name)
    def call(*arguments, **options):
        threads.add((name, threading.current_thread() is threading.main_thread()))
        return ask(*arguments, **options)
    setattr(ledger, name, call)

for name in ("check", "put", "claim", "extend", "record"):
    watched(name)
fetch = ledger.link.fetch
def watched_fetch(keys, log):
    threads.add(("fetch", threading.current_thread() is threading.main_thread()))
    return fetch(keys, log)
ledger.link.fetch = watched_fetch

async def everything():
    assert await cache.aget("old") == 1
    await cache.aset("k", 2)
    assert await cache.aget_or_load("loaded", lambda: 3) == 3
    assert await cache.aget_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 4)) == {"a": 4, "b": 4}
    await cache.adelete("k")
    await cache.aclear()
"""


@pytest.mark.parametrize("kind", ["valkey"])
def test_no_event_loop_stands_still_while_the_server_answers(site):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set('old', 1); cache.set('other', 1, tags=['t']); cache.invalidate_tags('t')")
    one.do(WATCH)
    site.leased(one)
    one.do("asyncio.run(everything())")
    asked = one.ask("threads")
    assert {name for name, _ in asked} >= {"check", "put", "claim", "record", "fetch"}
    assert not [name for name, on_loop in asked if on_loop]
