"""The layout of the file that the processes of one machine share.

All numbers are little-endian; every word is 8 bytes at an offset that 8 divides, so that it is read and written in one
piece. Whatever is written in several pieces is written under the file's lock, and a checksum or a later word says
when it counts.

::

    offset      what
    0           the fixed head: magic, format version, incarnation, boot, geometry, CRC-32
    512         words, each in a cache line of its own: see ``Word``
    4,096       services: 512 of 128 bytes (name, floors, the last record of a single key; CRC-32 over the name)
    69,632      processes: 128 of 256 bytes (state, pid, since, what it has obeyed, what records removed there)
    102,400     totals: two sets of counters for each service, of processes that ended
    397,312     counters: for each process a set of 36 words for each service
    19,271,680  records of clears, tags and prefixes: 4,096 of 256 bytes, a ring
    20,320,256  records of single keys: 32,768 of 192 bytes, a ring of their own
    26,611,712  claims: 4,096 of 64 bytes
    26,873,856  totals of meters: two sets, of processes that ended
    26,876,928  meters: for each process a set of 192 words
    27,073,536  end

Version 1. A process refuses a file of another version. What later versions of version 1 may add without a new number:
words in what is reserved here and written as zero, and text in records of clears, which say nothing else by theirs.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from cenote.meters import WORDS

__all__ = [
    "CLAIMS",
    "CLAIMS_AT",
    "CLAIMS_EACH",
    "COUNTERS",
    "COUNTERS_AT",
    "FILE_BYTES",
    "HEAD",
    "KEY_RECORDS",
    "KEY_RECORDS_AT",
    "KEY_RECORDS_EACH",
    "MAGIC",
    "METERS",
    "METERS_AT",
    "METER_TOTALS_AT",
    "NO_LEASE",
    "PROCESSES",
    "PROCESSES_AT",
    "PROCESSES_EACH",
    "RECORDS",
    "RECORDS_AT",
    "RECORDS_EACH",
    "SERVICES",
    "SERVICES_AT",
    "SERVICES_EACH",
    "TOTALS_AT",
    "VERSION",
    "Counter",
    "ProcessWord",
    "ServiceWord",
    "Word",
]

MAGIC: Final = b"CENOTELG"
VERSION: Final = 1

HEAD: Final = struct.Struct("<8sII16s16sQQ8I")
"""Magic, version, bytes of the file, incarnation, boot, nanoseconds of the monotonic clock when made, CRC-32 of the
file's name and lower half of its inode's number, geometry; a CRC-32 follows."""

SERVICES: Final = 512
SERVICES_EACH: Final = 128
PROCESSES: Final = 128
PROCESSES_EACH: Final = 256
COUNTERS: Final = 36
RECORDS: Final = 4096
RECORDS_EACH: Final = 256
KEY_RECORDS: Final = 32768
KEY_RECORDS_EACH: Final = 192
CLAIMS: Final = 4096
CLAIMS_EACH: Final = 64
METERS: Final = WORDS

NO_LEASE: Final = (1 << 64) - 1
"""What stands in ``Word.LEASED`` while there is no lease: no sequence."""

SERVICES_AT: Final = 4096
PROCESSES_AT: Final = SERVICES_AT + SERVICES * SERVICES_EACH
TOTALS_AT: Final = PROCESSES_AT + PROCESSES * PROCESSES_EACH
COUNTERS_AT: Final = TOTALS_AT + 2 * SERVICES * COUNTERS * 8
RECORDS_AT: Final = COUNTERS_AT + PROCESSES * SERVICES * COUNTERS * 8
KEY_RECORDS_AT: Final = RECORDS_AT + RECORDS * RECORDS_EACH
CLAIMS_AT: Final = KEY_RECORDS_AT + KEY_RECORDS * KEY_RECORDS_EACH
METER_TOTALS_AT: Final = CLAIMS_AT + CLAIMS * CLAIMS_EACH
METERS_AT: Final = METER_TOTALS_AT + 2 * METERS * 8
FILE_BYTES: Final = METERS_AT + PROCESSES * METERS * 8


class Word(IntEnum):
    """The words of the head, as numbers of 8-byte words."""

    HEAD = 64
    """The sequence of the last record that counts: what every read looks at, where there are no leases."""

    LEASED = 65
    """The same where there are leases, for reads: the head, or all ones while there is no lease; in a mirror."""

    DEADLINE = 72
    """Until when a lease holds: a double, seconds of a clock that counts suspension; 0 for none, and on one machine."""

    LATEST = 73
    """The latest deadline that was ever published here, withdrawn or not: a double."""

    RECORDS = 80
    """How many records of clears, tags and prefixes there ever were."""

    KEY_RECORDS = 88
    """How many records of single keys."""

    STORED = 96
    """The last sequence that the shared store is known to hold."""

    FOLD = 104
    """Which totals count (lowest bit), and which process was folded into them last."""

    CENSUS = 112
    """Grows when somebody wants everybody's figures at once."""

    FLOORS = 120
    """Four words: two places each for the last hard and the last soft clear of everything."""

    SERVICES = 128
    """How many services have a number beside the global cache."""

    NETWORK = 136
    """Two words: the incarnation that sequences belong to, where a file mirrors the log of a network; else 0."""

    RENEWALS = 144
    """Two words: how often the lease was renewed, and how often that failed; in a mirror."""

    MEMBERS = 146
    """How many machines share the log, as of the last renewal; in a mirror. 0 where that is not known."""

    PACED_UNTIL = 152
    """When the refills behind all clears are over at the latest, in milliseconds since the Unix epoch: a hint."""


class ServiceWord(IntEnum):
    """The words of a service, behind 72 bytes of name and 8 of checksum."""

    FLOORS = 10
    """Four words: two places each for its last hard and its last soft clear."""

    LAST_KEY = 14
    """The sequence of the last record of a single key of it."""

    LAST_SCOPED = 15
    """The sequence of its last record of tags or of a prefix; in a mirror."""


class ProcessWord(IntEnum):
    """The words of a process."""

    STATE = 0
    """0 for a free place, else a number that no other process had in it."""

    PID = 1
    SINCE = 2
    """When it attached, in nanoseconds since the Unix epoch."""

    APPLIED = 3
    """The sequence that all its caches have obeyed."""

    CENSUS = 4
    """The last census that it has written its figures for."""

    REMOVED = 16
    """Eight pairs of a sequence and how many entries that record removed there."""


class Counter(IntEnum):
    """The words of a set of counters."""

    HITS = 0
    MISSES = 1
    EVICTIONS = 2
    EXPIRATIONS = 3
    INVALIDATIONS = 4
    LOADS = 5
    LOAD_FAILURES = 6
    COALESCED = 7
    STALE_SERVED = 8
    LOAD_NANOSECONDS = 9
    SAVED_NANOSECONDS = 10
    LOAD_TIMES = 11
    """Twenty words: how many loads took how long."""

    ENTRIES = 31
    """Live entries now; this and what follows are of living processes only."""

    CLEARED = 32
    """The sequence of the last whole hard clear that the entries were counted after."""

    BYTES = 33
    LIMIT = 34
    """Most entries that the process holds; 0 for no limit."""

    REFILL = 35
    """How the process's refill goes on, packed; see ``refills``. It counts as ``ENTRIES`` does."""
