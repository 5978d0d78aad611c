"""Probing: how soon entries are read again, seen on a few that are chosen at random.

A hit counts in the entry's ``freq``, up to the eviction policy's cap, and so whoever looks at that number now and then
sees whether the entry was read; hits know nothing of it. An entry that is at the cap is put one below it first, which
leaves it marked as read: the policies keep what they would keep. Nothing that decides what is served is read or changed
here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from math import inf
from random import Random
from time import perf_counter
from typing import Final, NamedTuple

from cenote.core import CacheCore
from cenote.entry import FOREVER, GONE, Entry
from cenote.rereads import HORIZON, Cohort, Rereads, step_ends
from cenote.room import Returns, Room
from cenote.slices import Slices
from cenote.state import State
from cenote.stores.store import Store

__all__ = ["HOT_KEYS", "Hot", "Probes"]

PROBES: Final = 512
"""Entries of a batch."""

BATCHES: Final = 31
"""Batches of a cache that are watched at once, or remembered: one that began ten minutes ago is among them."""

FIRST_SECONDS: Final = 0.01
GROWTH: Final = 1.15
"""A hunt is looked at again when it is so much older; a batch when a step of a forecast's curve ends."""

LONGEST_SECONDS: Final = 5.0
"""At most so long later: a read and a policy that lowers the count again would not be seen."""

EARLY_SECONDS: Final = 10.0
LATER_SECONDS: Final = 20.0
"""How long after the last batch the next one begins: at first, and once there are three."""

COUNT_SECONDS: Final = 5.0
"""How often what was seen is put together, for each ten batches: more of them take longer, and change less."""

HUNT_SECONDS: Final = 10.0
"""How often keys that are read often are looked for."""

HOT_KEYS: Final = 100
"""Keys that are read often, as many as are remembered."""

_AT_ONCE: Final = 50
_FRUITLESS: Final = 3
"""Entries picked between two looks at the clock, and how many times none of these may be new before it gives up."""

_HOT_SECONDS: Final = 1.0
_DOUBT_SECONDS: Final = 0.5


class Hot:
    """A key that is read often.

    Attributes:
        entry: Its entry, as it was seen last.
        since: When it was seen first, in monotonic seconds.
    """

    __slots__ = ("_reads", "_seconds", "entry", "since")

    def __init__(self, entry: Entry, now: float) -> None:
        self.entry = entry
        self.since = now
        self._reads = 0
        self._seconds = 0.0

    def note(self, seconds: float, *, read: bool) -> None:
        """Note that it was read after so many seconds, or was not within them."""
        self._reads += read
        self._seconds += seconds

    @property
    def rate(self) -> float:
        """Reads a second, estimated; what was read once, and soon, may owe that to chance.

        The read that had it noticed counts half: without it there would be nothing to estimate.
        """
        return max(0.0, self._reads - 0.5) / (self._seconds + _DOUBT_SECONDS)


_ENDS: Final = step_ends()


class _Hunt:
    """Entries that were chosen at one moment, and which of them were read since."""

    __slots__ = ("begun", "due", "watching")

    def __init__(self, entries: list[Entry], cap: int, now: float) -> None:
        self.begun = now
        self.due = now + self._next(0.0)
        self.watching: list[tuple[Entry, int, float]] = []
        for entry in entries:
            if entry.freq >= cap:
                entry.freq = cap - 1
            self.watching.append((entry, entry.freq, entry.born))

    def look(self, now: float) -> list[Entry]:
        """Return what was read since the last look, and watch it no longer."""
        still, read = [], []
        for entry, freq, born in self.watching:
            seen = entry.freq
            if seen > freq:
                read.append(entry)
            elif entry.value is not GONE and entry.where and entry.born == born:
                # The policy lowers the count of what it passes over.
                still.append((entry, seen, born))
        self.watching = still
        self.due = self.begun + self._next(now - self.begun)
        return read

    def end(self) -> None:
        """Let go of the entries: their State was left behind, or they were watched long enough."""
        self.watching = []
        self.due = float("inf")

    def _next(self, age: float) -> float:
        return max(FIRST_SECONDS, GROWTH * age)


class _Ending(NamedTuple):
    """An entry that was read and will end: when it was read first, in seconds of its batch; it keeps no value alive."""

    key: Hashable
    slot: int
    first: float
    born: float
    expires: float
    cost: float


class _Batch(_Hunt):
    """Entries whose rereads are counted."""

    __slots__ = ("_ending", "_kinds", "_store", "cohort")

    def __init__(self, entries: list[Entry], cap: int, now: float, store: Store) -> None:
        super().__init__(entries, cap, now)
        self._store = store
        self.cohort = Cohort(len(store))
        self._ending: list[_Ending] = []
        self._kinds = {id(entry): self.cohort.choose(now - entry.born) for entry in entries}

    def look(self, now: float) -> list[Entry]:
        """Count what was read since the last look, and return it."""
        age, read = now - self.begun, super().look(now)
        # When between two looks it was read is not known.
        middle = (self.cohort.reach + age) / 2
        for entry in read:
            self.cohort.note(self._kinds[id(entry)], middle, entry.cost)
            if entry.expires != FOREVER and entry.cost:
                self._ending.append(_Ending(entry.key, entry.slot, middle, entry.born, entry.expires, entry.cost))
        if self._ending:
            self._ending = [each for each in self._ending if self._goes_on(each, age)]
        # Where nothing is left to watch, it goes on too: that nothing more is read is seen as well.
        self.cohort.reach = age
        return read

    def end(self) -> None:
        super().end()
        self._kinds, self._ending = {}, []

    def _goes_on(self, seen: _Ending, age: float) -> bool:
        """Look whether an entry that was read has ended, and was loaded again."""
        try:
            entry = self._store.find(seen.key, seen.slot)
        except Exception:  # noqa: BLE001  # a key's own __eq__ may raise anything; the others are looked at all the same
            return False
        life = seen.expires - seen.born
        if entry is None or entry.born == seen.born:
            # Had it been loaded when it was read, it would have ended by now as well.
            return age <= seen.first + life
        usual = entry.born - self.begun
        if entry.cost and seen.first < usual <= seen.first + life:
            self.cohort.put_off(seen.first, usual, life, max(0.0, entry.born - seen.expires), seen.cost)
        return False

    def _next(self, age: float) -> float:
        at = bisect_right(_ENDS, age)
        return min(age + LONGEST_SECONDS, _ENDS[at] if at < len(_ENDS) else HORIZON)


class Probes:
    """What is seen of one cache's entries; one thread at a time takes the steps."""

    def __init__(self, core: CacheCore, dice: Random | None = None) -> None:
        """Watch a cache.

        Args:
            core: The cache.
            dice: Where chance comes from.
        """
        self._core = core
        self._dice = dice or Random()  # noqa: S311  # no secret
        self._state: State | None = None
        self._batches: list[_Batch] = []
        self._hunts: list[_Hunt] = []
        self._returns: list[tuple[float, Returns]] = []
        self._rereads = Rereads(())
        core.seen_hot = self.rates
        self._counted = float("-inf")
        self._hunted = float("-inf")
        self.hot: dict[tuple[int, Hashable], Hot] = {}

    def rates(self) -> dict[tuple[int, Hashable], float]:
        """Return reads a second of the keys that were seen to be read most."""
        return {place: hot.rate for place, hot in list(self.hot.items())}

    @property
    def possible(self) -> bool:
        """Whether hits of this cache leave a trace that can be seen."""
        policy = self._core.state.store.policy
        return policy is not None and policy.touch_cap > 0

    def step(self) -> float | None:
        """Look at what is due; return when to do so again, in monotonic seconds; None where there is nothing to see."""
        core, now = self._core, self._core.now()
        state = core.state
        if self._state is None or self._state.store is not state.store:
            for batch in (*self._batches, *self._hunts):
                batch.end()
            self._returns = []
            self._state = state
        policy = state.store.policy
        if policy is None or not policy.touch_cap:
            return None
        for batch in list(self._batches):
            if now >= batch.due:
                batch.look(now)
                if batch.cohort.reach >= HORIZON:
                    batch.end()
        self._hunt_on(policy.touch_cap, now)
        pause = EARLY_SECONDS if len(self._batches) < 3 else LATER_SECONDS
        if not self._batches or now >= self._batches[-1].begun + pause:
            self._begin(state, policy.touch_cap, now)
        if now >= self._counted + COUNT_SECONDS * (1 + len(self._batches) // 10):
            self._counted, self._rereads = now, self.count()
        due = [batch.due for batch in (*self._batches, *self._hunts)]
        return min([*due, self._batches[-1].begun + pause, self._hunted + HUNT_SECONDS])

    def _hunt_on(self, cap: int, now: float) -> None:
        """Look for keys that are read often: the known ones again, and others at random, for a second."""
        for hunt in self._hunts:
            if now >= hunt.due:
                for entry in hunt.look(now):
                    self._heat(entry, now - hunt.begun, now, read=True)
                if now - hunt.begun > _HOT_SECONDS:
                    for entry, _, _ in hunt.watching:
                        self._heat(entry, now - hunt.begun, now, read=False)
                    hunt.end()
        if now >= self._hunted + HUNT_SECONDS:
            self._hunted = now
            known = [hot.entry for hot in self.hot.values() if hot.entry.where]
            self.hot = {place: hot for place, hot in self.hot.items() if hot.entry.where}
            others = self.gather(min(PROBES, max(8, len(self._core.state.store) // 16)))
            self._hunts = [_Hunt(list({id(entry): entry for entry in known + others}.values()), cap, now)]

    def _begin(self, state: State, cap: int, now: float) -> None:
        wanted = min(PROBES, max(8, len(state.store) // 8))
        self._batches = [*self._batches, _Batch(self.gather(wanted), cap, now, state.store)][-BATCHES:]
        returns = None if state.store.policy is None else state.store.policy.returns()
        if returns is not None:
            self._returns = [*self._returns, (now, returns)][-BATCHES:]

    def gather(self, wanted: int, *, seconds: float = inf) -> list[Entry]:
        """Return different entries, chosen at random, in time slices.

        It takes a few steps for each, however many entries there are.

        Args:
            wanted: How many; there are fewer where the cache does not hold so many.
            seconds: How long to work at most; what was found by then is returned.
        """
        policy = self._core.state.store.policy
        if policy is None:
            return []
        found: dict[int, Entry] = {}
        slices, end, fruitless = Slices(), perf_counter() + seconds, 0
        while len(found) < wanted and fruitless < _FRUITLESS and perf_counter() < end:
            end += slices.rest()  # what others took meanwhile is no work of its own
            before = len(found)
            for _ in range(min(_AT_ONCE, 2 * (wanted - before))):
                entry = policy.pick(self._dice)
                if entry is not None and entry.value is not GONE:
                    found[id(entry)] = entry
            fruitless = fruitless + 1 if len(found) == before else 0
        return list(found.values())[:wanted]

    def _heat(self, entry: Entry, seconds: float, now: float, *, read: bool) -> None:
        place = (entry.slot, entry.key)
        known = self.hot.get(place)
        if known is None:
            if not read:
                return
            known = self.hot[place] = Hot(entry, now)
        known.entry = entry
        known.note(max(seconds, FIRST_SECONDS), read=read)
        if len(self.hot) > 2 * HOT_KEYS:
            best = sorted(self.hot.items(), key=lambda item: item[1].rate, reverse=True)[:HOT_KEYS]
            self.hot = dict(best)

    def hottest(self, most: int) -> list[Hot]:
        """Return the keys that are read most often, of those that were seen, the hottest first."""
        return sorted(list(self.hot.values()), key=lambda hot: hot.rate, reverse=True)[:most]  # noqa: C414  # a copy in one step

    @property
    def rereads(self) -> Rereads:
        """What was seen, as it was put together last; ``step`` does so now and then."""
        return self._rereads

    def count(self) -> Rereads:
        """Put together what was seen of entries chosen at random."""
        store, room = self._core.state.store, None
        # A copy of a shared entry that was evicted is read from the store, not loaded: its room saves no loads.
        shared = self._core.sharing is not None
        returns = None if store.policy is None or shared else store.policy.returns()
        if returns is not None and self._returns:
            since, before = self._returns[0]
            room = Room(before, returns, self._core.now() - since)
        return Rereads([batch.cohort for batch in list(self._batches)], held=len(store), room=room)
