"""The audit trail: what was cleared, when, by whom and why."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from cenote import ConfigurationError
from cenote.audit import AuditEvent, AuditTrail, timestamp_of


def test_a_clear_is_written_down_with_who_and_why(cache, caches):
    cache.set("k", 1)
    result = cache.clear(reason="new edition", actor="lore")
    (event,) = caches.audit.events()
    assert (event.id, event.action, event.service, event.mode, event.status) == (
        1,
        "clear",
        "etherforce",
        "hard",
        "success",
    )
    assert (event.entries, event.level, event.reason, event.actor) == (1, "process", "new edition", "lore")
    assert (event.clear_id, event.message) == (result.clear_id, result.message)
    assert event.timestamp == "1970-01-01T00:16:40.000Z"
    assert event.duration >= 0


def test_every_kind_of_clear_is_written_down(cache, caches):
    cache.clear(mode="soft")
    cache.clear(prefix="a")
    cache.invalidate_tags("t")
    caches.clear()
    caches.clear_all(mode="soft", reason="why")
    events = caches.audit.events()
    assert [event.id for event in events] == [1, 2, 3, 4, 5]
    assert [event.action for event in events] == ["clear"] * 4 + ["clear_all"]
    assert [event.mode for event in events] == ["soft", "hard", "hard", "hard", "soft"]
    assert [event.service for event in events] == ["etherforce"] * 3 + [None, None]


def test_a_dry_run_and_a_refused_clear_are_not_written_down(cache, caches):
    cache.clear(dry_run=True)
    with pytest.raises(ConfigurationError):
        cache.clear(mode="medium")
    assert caches.audit.events() == []


def test_the_newest_events_are_given_oldest_first(caches):
    for _ in range(5):
        caches.clear_all()
    assert [event.id for event in caches.audit.events(limit=2)] == [4, 5]
    assert [event.id for event in caches.audit.events(after=3)] == [4, 5]
    assert caches.audit.events(limit=0) == []


def test_old_events_are_forgotten_and_numbers_go_on(clock):
    trail = AuditTrail(clock, kept=3)
    for _ in range(5):
        trail.record(AuditEvent(action="clear"))
    assert [event.id for event in trail.events()] == [3, 4, 5]


def test_a_listener_hears_of_every_event_until_it_leaves(caches):
    heard = []
    leave = caches.audit.subscribe(heard.append)
    caches.clear_all()
    leave()
    leave()
    caches.clear_all()
    assert [event.id for event in heard] == [1]


def test_a_listener_that_fails_is_logged_and_disturbs_nobody(caches, caplog):
    heard = []

    def fail(event):
        raise OSError("no disk")

    caches.audit.subscribe(fail)
    caches.audit.subscribe(heard.append)
    with caplog.at_level(logging.ERROR):
        assert caches.clear_all().status == "success"
    assert len(heard) == 1
    assert "listener" in caplog.text


def test_a_listener_may_use_the_caches(caches, cache):
    cache.set("k", 1)
    sizes = []
    caches.audit.subscribe(lambda event: sizes.append(len(cache)))
    cache.clear()
    assert sizes == [0]


def test_events_cannot_be_changed():
    with pytest.raises(AttributeError):
        AuditEvent(action="clear").action = "other"


def test_numbers_are_given_once_under_threads(caches, spawn):
    def many():
        for _ in range(100):
            caches.audit.record(AuditEvent(action="clear"))

    for thread in [spawn(many) for _ in range(4)]:
        thread.result()
    assert [event.id for event in caches.audit.events(limit=1000)] == list(range(1, 401))


def test_moments_are_written_in_utc():
    assert timestamp_of(datetime(2025, 2, 1, 10, 30, tzinfo=UTC)) == "2025-02-01T10:30:00.000Z"
