"""The log contract, run on the log of one process and on logs that break it."""

from collections import deque

import pytest

from cenote.invalidation.log import InvalidationLog, Record
from cenote.invalidation.process import ProcessLog
from cenote.testing.contracts import LogContract


class TestProcessLog(LogContract):
    def make_log(self) -> InvalidationLog:
        return ProcessLog()


class Forgetful(ProcessLog):
    """Answers a gap with what is left."""

    def since(self, sequence: int) -> list[Record] | None:
        found = super().since(sequence)
        return list(self._records) if found is None else found


class Endless(ProcessLog):
    """Keeps everything."""

    def __init__(self) -> None:
        super().__init__()
        self._records = deque()


class Immortal(ProcessLog):
    """Cannot be closed."""

    def close(self) -> None:
        pass


class FromZero(ProcessLog):
    """Counts from zero."""

    def append(self, record: Record) -> int:
        return super().append(record) - 1


BROKEN = {
    Forgetful: "test_what_since_returns_has_no_hole",
    Endless: "test_a_reader_that_missed_records_no_longer_kept_is_told_to_forget_everything",
    Immortal: "test_a_closed_log_refuses_everything_but_another_close",
    FromZero: "test_sequences_start_at_one_and_grow_by_one_and_head_is_the_last",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda kind: kind.__name__)
def test_a_log_that_breaks_the_contract_fails_it(broken: type[ProcessLog]) -> None:
    class Suite(LogContract):
        def make_log(self) -> InvalidationLog:
            return broken()

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Suite(), BROKEN[broken])()
