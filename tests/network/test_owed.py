"""What a process owes the server is written once, and nothing of it is forgotten."""

from __future__ import annotations

import threading

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network.link import UnreachableError
from cenote.invalidation.network.owed import Owed

PATIENCE = 20.0


def key(name):
    """Make the record of a key."""
    return Record(kind=RecordKind.KEY, cache="shop", covered=(name,))


def owing(*names):
    """Owe invalidations of keys."""
    owed = Owed()
    for name in names:
        owed.add(key(name))
    return owed


def test_what_is_owed_is_written_once_though_two_threads_settle():
    owed, written = owing("a", "b", "c"), []
    writing, go_on = threading.Event(), threading.Event()

    def write(record):
        written.append(record)
        writing.set()
        assert go_on.wait(PATIENCE)

    settling = threading.Thread(target=owed.settle, args=(write,))
    settling.start()
    assert writing.wait(PATIENCE)
    owed.settle(written.append)
    go_on.set()
    settling.join(PATIENCE)
    owed.settle(written.append)
    assert written == [key("a"), key("b"), key("c")]


def test_what_is_asked_for_while_it_is_written_is_owed_still():
    owed, written = owing("a"), []

    def write(record):
        written.append(record)
        owed.add(record)  # somebody's repetition fails just now

    owed.settle(write)
    assert len(written) == 1
    owed.settle(written.append)
    owed.settle(written.append)
    assert written == [key("a"), key("a")]


def test_what_a_repetition_has_written_is_not_written_again():
    owed, written = owing("a", "b"), []

    def write(record):
        written.append(record)
        owed.done(key("b"), owed.mark())

    owed.settle(write)
    assert written == [key("a")]


def test_what_cannot_be_written_stays_owed():
    owed, written = owing("a", "b"), []

    def refuse(record):
        raise UnreachableError("it is out of reach")

    owed.settle(refuse)
    owed.settle(written.append)
    assert written == [key("a"), key("b")]


def test_more_than_is_kept_becomes_a_clear_of_everything():
    owed, written = owing(*map(str, range(101))), []
    owed.settle(written.append)
    assert written == [Record(kind=RecordKind.CLEAR_ALL)]
