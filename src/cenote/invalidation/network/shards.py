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

__all__ = ["SHARDS", "Job", "Question", "Shard", "ask_each", "number_of", "run_each", "tags_of"]

SHARDS: Final = 16
"""How many shards there are in a cluster; part of the format, since all machines must agree on where an entry is."""


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

    def tag_index(self, incarnation: str, cache: str, generation: int, tag: str) -> str:
        """Return the key of a generation's index of a tag, by end."""
        return f"{self.opening}t:{incarnation[:16]}:{cache}:{generation}:{tag}"

    def claim(self, value: bytes, token: str, milliseconds: int) -> int:
        """Claim the load of a value; return 0 when another has it, 1 when nobody did, 2 when it is there besides.

        Args:
            value: The value's key.
            token: A text of the caller's own.
            milliseconds: How long the claim lasts.
        """
        return int(self.link.run(value_scripts.CLAIM, [value, self._claim_key(value)], [token, milliseconds]))

    def extend(self, value: bytes, token: str, milliseconds: int) -> None:
        """Have a claim last longer, if it still is the caller's; 0 milliseconds give it back."""
        self.link.run(value_scripts.EXTEND, [self._claim_key(value)], [token, milliseconds])

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
        read = functools.partial(_read_answers, len(commands))
        started = shard.link.start(request)
        jobs.append(Job(shard.link, started, functools.partial(shard.link.ask, request, read, started)))
    return run_each(jobs)


def _read_answers(number: int, connection: Any) -> list[Any]:
    return [connection.read_response() for _ in range(number)]


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
    return [_run(job) if future is None else future.result() for job, future in zip(jobs, waiting, strict=True)]


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
