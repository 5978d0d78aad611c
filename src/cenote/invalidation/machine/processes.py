"""The table of processes: who shares the file, and what each has counted.

A place is its process's as long as that holds a lock on one byte beyond the file's end: pids come again, locks do not.
What a dead process had counted is folded into the totals. There are two sets of totals; the one that does not count is
written, and one word then says that it does and whose figures it holds, so a fold that is cut off is simply done again.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from operator import add
from typing import Final

from cenote.errors import ConfigurationError
from cenote.invalidation.census import Process
from cenote.invalidation.machine.bell import take_down
from cenote.invalidation.machine.file import SharedFile
from cenote.invalidation.machine.layout import (
    COUNTERS,
    COUNTERS_AT,
    FILE_BYTES,
    METER_TOTALS_AT,
    METERS,
    METERS_AT,
    PROCESSES,
    PROCESSES_AT,
    PROCESSES_EACH,
    SERVICES,
    TOTALS_AT,
    Counter,
    ProcessWord,
    Word,
)
from cenote.meters import SUMMED_WORDS

__all__ = ["Place", "Processes"]

_SUMMED: Final = Counter.ENTRIES
"""Counters before this one outlive their process."""

_REMOVALS: Final = 8
_SET: Final = COUNTERS * 8
_ALL: Final = SERVICES * COUNTERS
_LOCKS_AT: Final = FILE_BYTES + 4096
_FLOCK: Final = "qqihh" if sys.platform == "darwin" else "hhqqi4x"


class Place:
    """What one process writes about itself."""

    def __init__(self, file: SharedFile, number: int) -> None:
        self.number = number
        self._words = file.words
        self._own = (PROCESSES_AT + number * PROCESSES_EACH) // 8
        self._counters = (COUNTERS_AT // 8) + number * _ALL
        self._meters = (METERS_AT // 8) + number * METERS

    def counters(self, service: int) -> memoryview:
        """Return the counters of a service, to be written as words."""
        first = self._counters + service * COUNTERS
        return self._words[first : first + COUNTERS]

    def measured(self, words: Sequence[int]) -> None:
        """Publish the meters of this process."""
        for at, word in enumerate(words, self._meters):
            self._words[at] = word

    def obeyed(self, sequence: int) -> None:
        """Say that all caches of this process have obeyed a sequence."""
        self._words[self._own + ProcessWord.APPLIED] = sequence

    def answered(self, census: int) -> None:
        """Say that the counters are what they were when a census was called, or later."""
        self._words[self._own + ProcessWord.CENSUS] = census

    def removed(self, sequence: int, entries: int) -> None:
        """Note how many entries a record removed here."""
        at = self._own + ProcessWord.REMOVED + 2 * (sequence % _REMOVALS)
        before = self._words[at + 1] if self._words[at] == sequence else 0
        self._words[at] = 0
        self._words[at + 1] = before + entries
        self._words[at] = sequence


class Processes:
    """The processes of one shared file."""

    def __init__(self, file: SharedFile) -> None:
        self._file = file
        self._words = file.words

    def enter(self) -> Place:
        """Take a free place, or that of a process that ended.

        Raises:
            ConfigurationError: All places are taken.
        """
        with self._file.lock:
            self.reclaim()
            for number in range(PROCESSES):
                own = self._own(number)
                if number not in self._file.places and not self._words[own] and self._lock(number):
                    self._file.places.add(number)
                    self._wipe(number)
                    self._words[own + ProcessWord.PID] = os.getpid()
                    self._words[own + ProcessWord.SINCE] = time.time_ns()
                    # A number that tells this use of the place from any other, for a fold that is cut off.
                    self._words[own + ProcessWord.STATE] = time.monotonic_ns()
                    return Place(self._file, number)
        raise ConfigurationError(
            f"{PROCESSES} processes share {self._file.path} already, and that is as many as it has room for"
        )

    def leave(self, place: Place, *, counted: bool = True) -> None:
        """Give a place back.

        Args:
            place: The place.
            counted: Whether its figures go into the totals: not if the process goes on counting in another file.
        """
        with self._file.lock:
            if place.number in self._file.places:
                if counted:
                    self._fold(place.number)
                self._words[self._own(place.number)] = 0
                self._file.places.discard(place.number)
                fcntl.lockf(self._file.descriptor, fcntl.LOCK_UN, 1, _LOCKS_AT + place.number)

    def reclaim(self) -> list[int]:
        """Fold the figures of processes that ended into the totals; under the file's lock.

        Returns:
            The places that they had.
        """
        ended = [number for number in range(PROCESSES) if self._words[self._own(number)] and not self.alive(number)]
        for number in ended:
            take_down(self._file.path, number)
            self._fold(number)
        return ended

    def alive(self, number: int) -> bool:
        """Whether the process that took a place still runs."""
        if number in self._file.places:
            return True
        return _locked_by_another(self._file.descriptor, _LOCKS_AT + number)

    def living(self) -> list[int]:
        """Return the places of processes that run."""
        return [number for number in range(PROCESSES) if self._words[self._own(number)] and self.alive(number)]

    def running(self) -> list[Process]:
        """Return the processes that run."""
        found = []
        for number in self.living():
            own = self._own(number)
            entries = sum(
                self._words[at + Counter.ENTRIES] for at in range(self._set(number), self._set(number) + _ALL, COUNTERS)
            )
            since = self._words[own + ProcessWord.SINCE] / 1e9
            found.append(Process(self._words[own + ProcessWord.PID], since, entries))
        return found

    def applied(self, number: int) -> int:
        """Return the sequence that a process has obeyed."""
        return self._words[self._own(number) + ProcessWord.APPLIED]

    def census_of(self, number: int) -> int:
        """Return the last census that a process answered."""
        return self._words[self._own(number) + ProcessWord.CENSUS]

    def removed(self, number: int, sequence: int) -> int:
        """Return how many entries a record removed there, as far as that is known."""
        at = self._own(number) + ProcessWord.REMOVED + 2 * (sequence % _REMOVALS)
        return self._words[at + 1] if self._words[at] == sequence else 0

    def held(self, number: int, service: int, floor: int) -> int:
        """Return how many live entries a process has of a service, not counting what the last clear made old."""
        at = self._set(number) + service * COUNTERS
        if self._words[at + Counter.CLEARED] < floor:
            return 0
        return self._words[at + Counter.ENTRIES]

    def weight(self, number: int, service: int, floor: int) -> int:
        """Return how many bytes those entries have."""
        at = self._set(number) + service * COUNTERS
        return 0 if self._words[at + Counter.CLEARED] < floor else self._words[at + Counter.BYTES]

    def limit(self, number: int, service: int) -> int:
        """Return the most entries of a service that a process holds; 0 for no limit."""
        return self._words[self._set(number) + service * COUNTERS + Counter.LIMIT]

    def readers(self, service: int) -> list[int]:
        """Return the places of processes that run and have read a service, as far as they have reported."""
        found = []
        for number in self.living():
            at = self._set(number) + service * COUNTERS
            if self._words[at + Counter.HITS] or self._words[at + Counter.MISSES]:
                found.append(number)
        return found

    def refill(self, number: int, service: int, floor: int) -> int:
        """Return how the refill of a service goes on in a process; 0 where it has obeyed an earlier clear only."""
        at = self._set(number) + service * COUNTERS
        return 0 if self._words[at + Counter.CLEARED] < floor else self._words[at + Counter.REFILL]

    def sums(self, service: int) -> list[int]:
        """Return the counters of a service, summed over all processes; what living ones hold now is left at 0."""
        found = self.ended(service)
        for number in range(PROCESSES):
            if self._words[self._own(number)] and not self._is_folded(number):
                at = self._set(number) + service * COUNTERS
                for counter in range(_SUMMED):
                    found[counter] += self._words[at + counter]
        return found

    def meters(self) -> list[int]:
        """Return the meters summed over all processes; what follows ``SUMMED_WORDS`` over those that run."""
        found = [*self.ended_meters(), *[0] * (METERS - SUMMED_WORDS)]
        for number in range(PROCESSES):
            if self._words[self._own(number)] and not self._is_folded(number):
                upto = METERS if self.alive(number) else SUMMED_WORDS
                at = METERS_AT // 8 + number * METERS
                for word in range(upto):
                    found[word] += self._words[at + word]
        return found

    def ended(self, service: int) -> list[int]:
        """Return the counters of a service, of processes that ended."""
        whole = self._totals(self._words[Word.FOLD] & 1) + service * COUNTERS
        return list(self._words[whole : whole + COUNTERS])

    def ended_meters(self) -> list[int]:
        """Return the meters of processes that ended."""
        whole = METER_TOTALS_AT // 8 + (self._words[Word.FOLD] & 1) * METERS
        return list(self._words[whole : whole + SUMMED_WORDS])

    def inherit(self, counters: Mapping[int, Sequence[int]], meters: Sequence[int]) -> None:
        """Add what processes that ended had counted in another file.

        Args:
            counters: Their counters of services, by number here.
            meters: Their meters.
        """
        with self._file.lock:
            self._end_cut_off_fold()
            now = self._totals(self._words[Word.FOLD] & 1)
            sums = list(self._words[now : now + _ALL])
            for service, counted in counters.items():
                for at, count in enumerate(counted, service * COUNTERS):
                    sums[at] += count
            self._replace_totals(sums, list(map(add, self.ended_meters(), meters)), 0)

    @staticmethod
    def _own(number: int) -> int:
        return (PROCESSES_AT + number * PROCESSES_EACH) // 8

    @staticmethod
    def _set(number: int) -> int:
        return COUNTERS_AT // 8 + number * _ALL

    @staticmethod
    def _totals(which: int) -> int:
        return TOTALS_AT // 8 + which * _ALL

    def _lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCKS_AT + number)
        except OSError:
            return False
        return True

    def _fold(self, number: int) -> None:
        self._end_cut_off_fold()
        if self._words[self._own(number)]:
            now = self._totals(self._words[Word.FOLD] & 1)
            sums = list(self._words[now : now + _ALL])
            counted = self._words[self._set(number) : self._set(number) + _ALL]
            sums = list(map(add, sums, counted))
            for counter in range(_SUMMED, COUNTERS):
                sums[counter::COUNTERS] = [0] * SERVICES
            own = METERS_AT // 8 + number * METERS
            meters = map(add, self.ended_meters(), self._words[own : own + SUMMED_WORDS])
            self._replace_totals(sums, list(meters), self._mark(number))
        self._words[self._own(number)] = 0

    def _replace_totals(self, sums: Sequence[int], meters: Sequence[int], mark: int) -> None:
        """Write the totals that do not count, and then, by one word, that they do."""
        then = 1 - (self._words[Word.FOLD] & 1)
        at = self._totals(then) * 8
        self._file.bytes[at : at + _ALL * 8] = struct.pack(f"={_ALL}Q", *sums)
        at = METER_TOTALS_AT + then * METERS * 8
        self._file.bytes[at : at + SUMMED_WORDS * 8] = struct.pack(f"={SUMMED_WORDS}Q", *meters)
        self._words[Word.FOLD] = mark | then

    def _end_cut_off_fold(self) -> None:
        """Free the place whose figures are in the totals already, before the word that says so is overwritten."""
        number = self._words[Word.FOLD] >> 1 & (PROCESSES - 1)
        if self._words[self._own(number)] and self._is_folded(number):
            self._words[self._own(number)] = 0

    def _is_folded(self, number: int) -> bool:
        return self._words[Word.FOLD] & ~1 == self._mark(number)

    def _mark(self, number: int) -> int:
        """What tells this use of a place in the word of the fold: its number and the time it was taken."""
        return (self._words[self._own(number)] << 8 | number << 1) & 0xFFFFFFFFFFFFFFFE

    def _wipe(self, number: int) -> None:
        at = self._set(number) * 8
        self._file.bytes[at : at + SERVICES * _SET] = bytes(SERVICES * _SET)
        at = METERS_AT + number * METERS * 8
        self._file.bytes[at : at + METERS * 8] = bytes(METERS * 8)
        own = self._own(number) * 8
        self._file.bytes[own : own + PROCESSES_EACH] = bytes(PROCESSES_EACH)


def _locked_by_another(descriptor: int, offset: int) -> bool:
    """Whether another process holds a lock on a byte, asked without taking it."""
    if sys.platform == "darwin":
        asked = struct.pack(_FLOCK, offset, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
        kind = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[3]
    else:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        kind = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0]
    return bool(kind != fcntl.F_UNLCK)
