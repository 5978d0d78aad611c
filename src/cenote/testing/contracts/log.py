"""The contract of invalidation logs.

::

    class TestProcessLog(LogContract):
        def make_log(self):
            return ProcessLog()
"""

# ruff: noqa: S101  # a contract is made of assertions

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cenote.errors import ClosedError
from cenote.invalidation.log import InvalidationLog, Record, RecordKind

__all__ = ["LogContract"]

LEVELS = ("process", "machine", "network")
ENOUGH = 200_000


def _record(number: int) -> Record:
    return Record(kind=RecordKind.KEY, cache="books", covered=(f"key:{number}",))


class LogContract(ABC):
    """What every InvalidationLog must do; inherit from it and say how to make one."""

    @abstractmethod
    def make_log(self) -> InvalidationLog:
        """Make a new, empty log that shares nothing with the others; the contract closes it."""

    @contextmanager
    def a_log(self) -> Iterator[InvalidationLog]:
        """Make a log and close it at the end."""
        log = self.make_log()
        try:
            yield log
        finally:
            log.close()

    def test_an_empty_log_has_head_zero_and_no_records(self) -> None:
        with self.a_log() as log:
            assert log.head == 0
            assert log.since(0) == []

    def test_sequences_start_at_one_and_grow_by_one_and_head_is_the_last(self) -> None:
        with self.a_log() as log:
            for number in range(1, 51):
                assert log.append(_record(number)) == number
                assert log.head == number

    def test_since_returns_the_later_records_in_order_with_their_sequences(self) -> None:
        with self.a_log() as log:
            for number in range(1, 11):
                log.append(_record(number))
            for start in range(11):
                assert log.since(start) == [_record(number).at(number) for number in range(start + 1, 11)]

    def test_every_kind_of_record_comes_back_as_it_was_appended(self) -> None:
        records = [
            Record(kind=RecordKind.CLEAR, cache="books"),
            Record(kind=RecordKind.CLEAR, cache=None, soft=True),
            Record(kind=RecordKind.CLEAR_ALL),
            Record(kind=RecordKind.KEY, cache="books", covered=("a/b c\u2028é\U0001f600",)),
            Record(kind=RecordKind.TAGS, cache="books", covered=("red", "blue")),
            Record(kind=RecordKind.PREFIX, cache=None, covered=("chapter:",), soft=True),
        ]
        with self.a_log() as log:
            for record in records:
                log.append(record)
            assert log.since(0) == [record.at(number) for number, record in enumerate(records, 1)]

    def test_a_reader_that_is_up_to_date_gets_an_empty_list(self) -> None:
        with self.a_log() as log:
            sequence = log.append(_record(1))
            assert log.since(sequence) == []

    def test_a_reader_that_missed_records_no_longer_kept_is_told_to_forget_everything(self) -> None:
        with self.a_log() as log:
            for number in range(1, ENOUGH + 1):
                log.append(_record(number))
                if number & (number - 1) == 0 and log.since(0) is None:
                    break
            else:
                pytest.fail(f"the log kept all of {ENOUGH} records: it would grow without limit")
            assert log.head == number
            assert log.since(number - 1) == [_record(number).at(number)]

    def test_what_since_returns_has_no_hole(self) -> None:
        with self.a_log() as log:
            for number in range(1, 3001):
                log.append(_record(number))
            for start in (0, 1, 1500, 2900, 2990, 2999, 3000):
                records = log.since(start)
                if records is not None:
                    assert [record.sequence for record in records] == list(range(start + 1, 3001))

    def test_concurrent_appends_are_all_there_exactly_once(self) -> None:
        given: list[tuple[int, str]] = []
        with self.a_log() as log:
            start = threading.Barrier(4)

            def work(worker: int) -> None:
                start.wait()
                for number in range(50):
                    record = _record(worker * 50 + number)
                    given.append((log.append(record), record.covered[0]))

            threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert log.head == 200
            records = log.since(0)
        assert records is not None
        assert [record.sequence for record in records] == list(range(1, 201))
        assert [(record.sequence, record.covered[0]) for record in records] == sorted(given)

    def test_the_head_never_goes_backwards_and_covers_what_was_appended_before(self) -> None:
        behind: list[tuple[int, int]] = []
        with self.a_log() as log:
            stop = threading.Event()

            def watch() -> None:
                last = 0
                while not stop.is_set():
                    head = log.head
                    if head < last:
                        behind.append((head, last))
                    last = head

            watcher = threading.Thread(target=watch)
            watcher.start()
            for number in range(1, 301):
                sequence = log.append(_record(number))
                if log.head < sequence:
                    behind.append((log.head, sequence))
            stop.set()
            watcher.join()
        assert behind == []

    def test_the_incarnation_is_128_bits_stable_and_unlike_another_log(self) -> None:
        with self.a_log() as log, self.a_log() as other:
            incarnation = log.incarnation
            assert len(incarnation) == 32
            assert int(incarnation, 16) >= 0
            log.append(_record(1))
            assert log.incarnation == incarnation
            assert other.incarnation != incarnation

    def test_two_logs_share_nothing(self) -> None:
        with self.a_log() as log, self.a_log() as other:
            log.append(_record(1))
            assert other.head == 0

    def test_the_level_is_one_of_the_three_and_shares_keys_is_told(self) -> None:
        with self.a_log() as log:
            assert log.level in LEVELS
            assert isinstance(log.shares_keys, bool)

    def test_a_closed_log_refuses_everything_but_another_close(self) -> None:
        log = self.make_log()
        log.append(_record(1))
        log.close()
        log.close()
        with pytest.raises(ClosedError):
            log.append(_record(2))
        with pytest.raises(ClosedError):
            log.since(0)
        with pytest.raises(ClosedError):
            _ = log.head
