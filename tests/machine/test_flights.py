"""What is under way in one process when another invalidates it: it answers whom it must, and is never kept."""

from __future__ import annotations

import pytest

ACTIONS = {
    "set": lambda caches, cache, key: cache.set(key, "other's"),
    "delete": lambda caches, cache, key: cache.delete(key),
    "clear": lambda caches, cache, key: cache.clear(),
    "clear_all": lambda caches, cache, key: caches.clear_all(),
    "tags": lambda caches, cache, key: cache.invalidate_tags("t"),
    "prefix": lambda caches, cache, key: cache.clear(prefix=key[:2]),
}
COVERING = ["set", "delete", "clear", "clear_all", "tags", "prefix"]
KEYS = ["key", "loaded(1)", "k" * 300, "loaded('" + "x" * 300 + "')"]


@pytest.fixture
def pair(open_manager, at_once, monkeypatch):
    """Two managers that are processes to each other."""
    monkeypatch.setattr("cenote.invalidation.machine.log.MachineLog.attend", lambda self, listener: None)
    monkeypatch.setattr("cenote.invalidation.machine.census.ANSWER_SECONDS", 0.0)
    one, other = open_manager(), open_manager()
    for caches in (one, other):

        @caches.service("shop").memoize(name="loaded", tags=lambda number: ["t"])
        def loaded(number):
            return "loaded"

        caches.kept = loaded
    return one, other


@pytest.mark.parametrize("key", KEYS, ids=["text", "call", "long-text", "long-call"])
@pytest.mark.parametrize("obeyed", [True, False], ids=["obeyed", "unread"])
@pytest.mark.parametrize("action", COVERING)
def test_a_load_that_another_process_made_old_is_not_kept(pair, action, obeyed, key):
    one, other = pair
    cache = one.service("shop")

    def load():
        ACTIONS[action](other, other.service("shop"), key)
        if obeyed:
            cache.get("something else")
        return "old"

    assert cache.get_or_load(key, load, tags=["t"]) == "old"
    assert cache.get(key) is None
    assert cache.get_or_load(key, lambda: "new") == "new"


@pytest.mark.parametrize("key", KEYS, ids=["text", "call", "long-text", "long-call"])
@pytest.mark.parametrize("obeyed", [True, False], ids=["obeyed", "unread"])
@pytest.mark.parametrize("action", COVERING)
def test_a_fill_that_another_process_made_old_is_not_kept(pair, action, obeyed, key):
    one, other = pair
    cache = one.service("shop")
    token = cache.fill(key)
    ACTIONS[action](other, other.service("shop"), key)
    if obeyed:
        cache.get("something else")
    stored = token.set("old", tags=["t"])
    assert cache.get(key) is None
    assert not (stored and obeyed)


@pytest.mark.parametrize("key", KEYS, ids=["text", "call", "long-text", "long-call"])
@pytest.mark.parametrize("action", COVERING)
def test_an_entry_that_another_process_made_old_is_not_served(pair, action, key):
    one, other = pair
    cache = one.service("shop")
    cache.set(key, "old", tags=["t"])
    ACTIONS[action](other, other.service("shop"), key)
    assert cache.get(key) is None


@pytest.mark.parametrize("action", ["delete", "tags"])
def test_what_another_process_did_not_name_stays(pair, action):
    one, other = pair
    cache = one.service("shop")
    cache.set("kept", 1)
    one.service("films").set("key", 1, tags=["t"])
    ACTIONS[action](other, other.service("shop"), "key")
    assert cache.get("kept") == 1
    assert one.service("films").get("key") == 1
