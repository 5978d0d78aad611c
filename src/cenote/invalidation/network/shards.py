"""Shards: the parts that the entries of a namespace are kept in, each in one slot of a cluster.

Outside of a cluster there is one, which the log is part of. In a cluster there are ``SHARDS`` besides it, whose names
are chosen so that their slots lie evenly among all: whoever gives the nodes equal ranges gives them equal shares.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple
from zlib import crc32

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from cenote.invalidation.network import value_scripts
from cenote.invalidation.network.link import Link, UnreachableError
from cenote.invalidation.network.wire import Started, packed
from cenote.workers import workers

__all__ = ["SHARDS", "Job", "Question", "Shard", "Task", "ask_each", "do_each", "number_of", "run_each", "tags_of"]

SHARDS: Final = 16
"""How many shards there are in a cluster; part of the format, since all machines must agree on where an entry is."""

_CLAIMS_AT_ONCE: Final = 500
"""How many claims one script sees to: others wait for the server meanwhile."""


Script = tuple[str, Sequence[str | bytes], Sequence[Any]]
"""A script, its keys and its arguments."""


class Shard:
    """Where entries are: the keys that carry one hash tag.

    Every method raises UnreachableError when the server is out of reach, or refuses.

    Attributes:
        link: The server.
        opening: How all keys begin.
    """

    def __init__(self, link: Link, tag: str) -> None:
        """Prepare; nothing is sent.

        Args:
            link: The server.
            tag: The hash tag.
        """
        self.link = link
        self.opening = f"cenote:{{{tag}}}:"

    def value_key(self, incarnation: str, cache: str, generation: int, identifier: str) -> bytes:
        """Return the key of a value."""
        place = f"{self.opening}v:{incarnation[:16]}:{cache}:{generation}:"
        return place.encode() + identifier.encode("utf-8", "surrogatepass")

    def index_keys(self, incarnation: str, cache: str, generation: int) -> tuple[str, str]:
        """Return the keys of a generation's indexes, by end and by name."""
        place = f"{incarnation[:16]}:{cache}:{generation}"
        return f"{self.opening}e:{place}", f"{self.opening}n:{place}"

    def claim(self, values: Sequence[bytes], token: str, milliseconds: int) -> list[int]:
        """Claim the loads of values; for each, 0 when another has it, 1 when nobody did, 2 when it is there besides.

        Args:
            values: The keys of the values.
            token: A text of the caller's own.
            milliseconds: How long the claims last.
        """
        found: list[int] = []
        for script, keys, arguments in self.to_claim(values, token, milliseconds):
            found += self.link.run(script, keys, arguments)
        return found

    def to_claim(self, values: Sequence[bytes], token: str, milliseconds: int) -> list[Script]:
        """Return the scripts that claim loads, with what they are given."""
        found: list[Script] = []
        for at in range(0, len(values), _CLAIMS_AT_ONCE):
            keys = [key for value in values[at : at + _CLAIMS_AT_ONCE] for key in (value, self._claim_key(value))]
            found.append((value_scripts.CLAIM, keys, [token, milliseconds]))
        return found

    def extend(self, claims: Sequence[tuple[bytes, str, int]]) -> None:
        """Have claims last longer, those that still are the caller's.

        Args:
            claims: The key of the value, the token, and milliseconds, 0 to give it back, of each.
        """
        for script, keys, arguments in self.to_extend(claims):
            self.link.run(script, keys, arguments)

    def to_extend(self, claims: Sequence[tuple[bytes, str, int]]) -> list[Script]:
        """Return the scripts that have claims last longer, with what they are given."""
        found: list[Script] = []
        for at in range(0, len(claims), _CLAIMS_AT_ONCE):
            some = claims[at : at + _CLAIMS_AT_ONCE]
            keys = [self._claim_key(value) for value, _, _ in some]
            found.append((value_scripts.EXTEND, keys, [each for _, *rest in some for each in rest]))
        return found

    def _claim_key(self, value: bytes) -> bytes:
        return f"{self.opening}c".encode() + value[len(self.opening) + 1 :]


def tags_of(namespace: str) -> list[str]:
    """Return the hash tags of a namespace's shards: each the first whose slot lies in its share of all slots."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < SHARDS:
        # A namespace has no colon in its name, so nobody else's keys have this tag.
        tag = f"{namespace}:{number}"
        found.setdefault(key_slot(tag.encode()) * SHARDS // REDIS_CLUSTER_HASH_SLOTS, tag)
        number += 1
    return [found[place] for place in range(SHARDS)]


def number_of(identifier: str) -> int:
    """Return the shard that an entry is in."""
    return crc32(identifier.encode("utf-8", "surrogatepass")) % SHARDS


class Question(NamedTuple):
    """Commands that a shard is asked together.

    Attributes:
        shard: The shard.
        commands: The commands.
    """

    shard: Shard
    commands: Sequence[Sequence[bytes | str | float]]


def ask_each(questions: Sequence[Question]) -> list[list[Any] | UnreachableError]:
    """Ask several shards at once; return the answers of each, or why there are none."""
    jobs = []
    for shard, commands in questions:
        request = b"".join(packed([_raw(part) for part in parts]) for parts in commands)
        started = shard.link.start(request)
        jobs.append(Job(shard.link, started, functools.partial(_answers, shard.link, request, len(commands), started)))
    return run_each(jobs)


def _answers(link: Link, request: bytes, number: int, started: Started | None) -> list[Any]:
    return link.ask(request, number, started)[0]


class Task(NamedTuple):
    """A script that a shard is to run.

    Attributes:
        shard: The shard.
        script: The script, its keys and its arguments.
    """

    shard: Shard
    script: Script


def do_each(tasks: Sequence[Task]) -> list[Any]:
    """Have several shards run scripts at once; return what each answers, or its UnreachableError."""
    jobs = []
    for shard, script in tasks:
        started = shard.link.start_script(*script)
        jobs.append(Job(shard.link, started, functools.partial(shard.link.run, *script, started)))
    return run_each(jobs)


class Job(NamedTuple):
    """What is to be had from one shard.

    Attributes:
        link: Its server.
        started: The request that was sent already, if one was.
        run: Has it.
    """

    link: Link
    started: Started | None
    run: Callable[[], Any]


def run_each(jobs: Sequence[Job]) -> list[Any]:
    """Return what several shards answer, or the UnreachableError of each that does not.

    Silent ones are waited for together: answers are under way before the first one is read, and where there is no
    connection yet a thread waits for it.
    """
    waiting: list[Future[Any] | None] = []
    for job in jobs:
        future: Future[Any] | None = None
        if len(jobs) > 1 and job.started is None and not job.link.resting:
            future = Future()
            try:
                workers.submit(functools.partial(_run_there, job, future))
            except RuntimeError:
                future = None  # no thread is to be had
        waiting.append(future)
    found: list[Any] = []
    try:
        for job, future in zip(jobs, waiting, strict=True):
            found.append(_run(job) if future is None else future.result())
    except BaseException:
        for job in jobs[len(found) + 1 :]:
            if job.started is not None:
                job.link.drop(job.started)
        raise
    return found


def _run(job: Job) -> Any:
    try:
        return job.run()
    except UnreachableError as error:
        return error


def _run_there(job: Job, future: Future[Any]) -> None:
    try:
        future.set_result(_run(job))
    except BaseException as error:  # noqa: BLE001  # whoever waits is told
        future.set_exception(error)


def _raw(part: bytes | str | float) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
