"""Clears of eight machines: idle, with many entries, with busy applications, and with an agent that is stopped."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

from benchmarks.child import ChildFailedError
from benchmarks.report import Section, Target
from benchmarks.server import Site, fill, site
from benchmarks.settings import ROOT, Plan

MACHINES = 8
LEASE = 2.0
VALUE = "x" * 100
HELD_MICROSECONDS = 50_000
PATIENCE = 30.0
BLOCKS = 10
LOGGED_MICROSECONDS = 200
FEW_KEYS = 20
GIVEN_BACK_SECONDS = 200.0
KINDS = (
    ("all idle, no entries", "idle", 0),
    ("all idle, 1,000 entries", "idle", 1000),
    ("the others' GILs held", "hold", 0),
    ("the others spin", "spin", 0),
    ("the one that clears spins", "spin here", 0),
)
"""What is measured in turn: its row, what all other applications are told, and how many entries each clear finds."""


def serve(url: str) -> None:
    """Be the application of a machine: keep a copy in memory, and do what the lines of the standard input say."""
    from cenote import CacheManager

    with CacheManager(url) as manager:
        cache = manager.service("small")
        busy = threading.Event()
        print("true", flush=True)
        for line in sys.stdin:
            order = line.strip()
            if order == "copy":
                for _ in range(3):
                    found = cache.get("copy")
                print(json.dumps(found), flush=True)
            elif order == "look":
                print(json.dumps(cache.get("copy")), flush=True)
            elif order in ("spin", "hold"):
                busy.set()
                threading.Thread(target=_spin if order == "spin" else _hold, args=[busy], daemon=True).start()
                print("true", flush=True)
            else:
                busy.clear()
                print("true", flush=True)


def _spin(busy: threading.Event) -> None:
    while busy.is_set():
        pass


def _hold(busy: threading.Event) -> None:
    """Hold the GIL and use no processor: what eight machines do with processors of their own."""
    sleep = ctypes.PyDLL(None).usleep
    while busy.is_set():
        sleep(HELD_MICROSECONDS)


class Application:
    """The process of an application on a machine."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "benchmarks.child", __name__, "serve", json.dumps([url])]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailedError("the application of a machine has ended")
        return json.loads(line)

    def close(self) -> None:
        """End it; one that does not is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Crew:
    """The machines: this process is the application of the first, and clears; the others hold copies."""

    def __init__(self, machines: Site, stack: contextlib.ExitStack) -> None:
        from cenote import CacheManager

        self.machines = machines
        self.others = []
        for number in range(1, MACHINES):
            other = Application(machines.url(str(number)))
            stack.callback(other.close)
            self.others.append(other)
        self.manager = stack.enter_context(CacheManager(machines.url("0")))
        self.cache = self.manager.service("small")
        for other in self.others:
            other.answer()
        self.odd = 0
        """How many clears had other members acknowledge, or lapse, than was to be expected."""
        self.cache.clear()  # the first clear of a new log waits for leases that it may have forgotten

    def order(self, text: str) -> list[Any]:
        """Have all other applications do something; return what they answer."""
        for other in self.others:
            other.tell(text)
        return [other.answer() for other in self.others]

    def clear(self, cache: Any = None, *, lapsed: int = 0) -> float:
        """Clear, see to it that the result is what a strict clear has, and return the seconds that it took."""
        cache = self.cache if cache is None else cache
        begin = time.perf_counter()
        result = cache.clear()
        took = time.perf_counter() - begin
        members = (len(result.acknowledged), len(result.lapsed))
        if result.level != "network":
            raise ChildFailedError(f"a clear had the level {result.level}")
        self.odd += members != (MACHINES - lapsed, lapsed)
        return took

    def check(self) -> None:
        """Fail unless a clear takes what the other machines have copies of."""
        self.cache.set("copy", VALUE)
        end = time.monotonic() + PATIENCE
        while set(self.order("copy")) != {VALUE}:
            if time.monotonic() > end:
                raise ChildFailedError("the machines do not read what was set")
        self.clear()
        if set(self.order("look")) != {None}:
            raise ChildFailedError("a machine has served what was cleared")

    def many(self, count: int, entries: int = 0) -> list[float]:
        """Return the seconds that so many clears took, each of a cache that was filled before."""
        names = [f"chapter:{number}" for number in range(entries)]
        times = []
        for _ in range(count):
            if names:
                fill(self.machines.server.client, self.cache, names, VALUE)
            self.rest()
            times.append(self.clear())
        return times

    def rest(self) -> None:
        """Wait until all machines are done with what was written before."""
        log, end = self.manager._log, time.monotonic() + PATIENCE  # noqa: SLF001  # what others do is not public
        while True:
            head, there = log.ledger.head()[1], [peer.acknowledged for peer in log.peers()]
            if len(there) == MACHINES and min(there) >= head:
                break
            if time.monotonic() > end:
                raise ChildFailedError("the machines do not come to rest")
            time.sleep(0.002)
        time.sleep(0.01)


def clears(plan: Plan, section: Section) -> None:
    """Clears over eight machines."""
    count = 40 if plan.quick else 200
    entries = 100_000 if plan.quick else 1_000_000
    found: dict[str, list[float]] = {}
    with site() as machines, contextlib.ExitStack() as stack:
        crew = Crew(machines, stack)
        crew.check()
        for _ in range(BLOCKS):
            for title, order, filled in KINDS:
                crew.order(order)
                with _spinning(wanted=order == "spin here"):
                    found.setdefault(title, []).extend(crew.many(count // BLOCKS, filled))
                crew.order("idle")
        crew.check()
        _stopped(plan, section, crew)
        large = [_large(crew, entries) for _ in range(1 if plan.quick else 3)]
        _fill_many(crew, entries)
        found[f"1,000 of {entries:,} entries"] = crew.many(count, 1000)
        found[f"all of {entries:,} entries"] = [took for took, _, _ in large]
    note = f"The {entries:,} entries were put at the server directly."
    if crew.odd:
        note += f" In {crew.odd} clears not all machines acknowledged: the processors were too busy to renew a lease."
    _report(section, found, note)
    steps = [step for _, _, each in large for step in each]
    figures = [f"{1000 * value:.2f}" for value in (_late(steps), max(steps))]
    section.tables.append(
        [[f"{entries:,} cleared values given back", "clears", "median s", "commands, 99th percentile, ms", "longest"],
         ["", str(len(large)), f"{statistics.median(took for _, took, _ in large):.1f}", *figures]]
    )  # fmt: skip
    section.notes.append(
        f"Of the server's commands while values are given back those above {LOGGED_MICROSECONDS / 1000:g} ms count, "
        "by the clock: what else runs on the processors is in them."
    )
    what = "the server's commands while values are given back, 99th percentile"
    section.targets.append(Target(what, 5, 1000 * _late(steps), " ms"))


def _fill_many(crew: Crew, entries: int) -> Any:
    many = crew.manager.service("many")
    fill(crew.machines.server.client, many, [f"chapter:{number}" for number in range(entries)], VALUE)
    if len(many) != entries:
        raise ChildFailedError(f"{len(many)} entries are at the server in place of {entries}")
    return many


def _large(crew: Crew, entries: int) -> tuple[float, float, list[float]]:
    """Clear a large cache.

    Returns:
        Seconds until the clear returned, until the server had all values back, and of its longer commands meanwhile.
    """
    client = crew.machines.server.client
    keys = client.dbsize()
    many = _fill_many(crew, entries)
    client.config_set("slowlog-max-len", 100_000)
    client.config_set("slowlog-log-slower-than", LOGGED_MICROSECONDS)
    client.slowlog_reset()
    crew.rest()
    begin = time.perf_counter()
    cleared = crew.clear(many)
    while client.dbsize() > keys + FEW_KEYS:
        if time.perf_counter() - begin > GIVEN_BACK_SECONDS:
            raise ChildFailedError("the server does not get back what was cleared")
        time.sleep(0.05)
    back = time.perf_counter() - begin
    steps = [entry["duration"] / 1e6 for entry in client.slowlog_get(100_000)]
    client.config_set("slowlog-log-slower-than", -1)
    return cleared, back, steps


def _report(section: Section, found: dict[str, list[float]], note: str) -> None:
    rows = [[f"clear over {MACHINES} machines, ms", "clears", "median", "99th percentile", "longest", "x idle"]]
    base = statistics.median(found[KINDS[0][0]])
    for name, times in found.items():
        median, late = statistics.median(times), _late(times)
        figures = [f"{1000 * value:.2f}" for value in (median, late, max(times))]
        rows.append([name, str(len(times)), *figures, f"{median / base:.2f}"])
        if "entries" in name:
            section.targets += [
                Target(f"clear over {MACHINES} machines, {name}, median", 5, 1000 * median, " ms"),
                Target(f"clear over {MACHINES} machines, {name}, 99th percentile", 20, 1000 * late, " ms"),
            ]
        elif "others" in name:
            section.targets.append(Target(f"clear over {MACHINES} machines, {name} / idle", 3, median / base))
    section.tables.append(rows)
    section.notes.append(
        f"Clears: {MACHINES} machines with an agent and an application each, all of which acknowledge; a copy of an "
        "entry on each was seen to be gone after a clear. Each begins when the machines are done with what was written "
        "before; the values that are left behind go in the background. 'GILs held': a thread of each other "
        f"application holds its GIL {HELD_MICROSECONDS // 1000} ms at a time and sleeps in it; 'spin': it runs, and "
        "takes what the processors of this machine have, agents and server included. The one that clears waits for "
        f"its own GIL, up to the switch interval, each time that a message comes. {note}"
    )


def _late(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(0.99 * len(times)))]


@contextlib.contextmanager
def _spinning(*, wanted: bool) -> Any:
    if not wanted:
        yield
        return
    busy = threading.Event()
    busy.set()
    thread = threading.Thread(target=_spin, args=[busy])
    thread.start()
    try:
        yield
    finally:
        busy.clear()
        thread.join()


def _stopped(plan: Plan, section: Section, crew: Crew) -> None:
    """Clear while the agent of one machine is stopped."""
    times = []
    for _ in range(1 if plan.quick else 3):
        agent = crew.machines.agent("1")
        if agent is None:
            section.missing.append("clears with a stopped agent: this system does not tell which process it is")
            return
        os.kill(agent, signal.SIGSTOP)
        try:
            times.append(crew.clear(lapsed=1))
        finally:
            os.kill(agent, signal.SIGCONT)
        end = time.monotonic() + PATIENCE
        while len(crew.manager._log.peers()) < MACHINES:  # noqa: SLF001  # whom the server knows
            if time.monotonic() > end:
                raise ChildFailedError("an agent that went on has not come back")
            time.sleep(0.05)
    section.tables.append(
        [["one agent stopped, s", "clears", "median", "longest"],
         ["", str(len(times)), f"{statistics.median(times):.3f}", f"{max(times):.3f}"]]
    )  # fmt: skip
    limit = LEASE * 1.01 + 0.5
    section.targets.append(Target("clear with one agent stopped, longest", limit, max(times), " s"))
