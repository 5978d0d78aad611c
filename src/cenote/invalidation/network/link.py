"""The link to the server: connections, time-outs and a breaker, so that a dead server costs next to nothing."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import redis
from redis.commands.core import Script

from cenote.errors import ConfigurationError, StoreError
from cenote.invalidation.network.connecting import MOST_CONNECTIONS, Address
from cenote.invalidation.network.discovery import Host, NoMasterError
from cenote.invalidation.network.wire import Started, greet, packed, refuse_late, values_beside
from cenote.workers import workers

__all__ = ["ANSWER_SECONDS", "FullError", "Link", "UnreachableError"]

logger = logging.getLogger("cenote")

A = TypeVar("A")

ANSWER_SECONDS: Final = 1.0
"""How long an answer may take; a server that is silent for longer counts as out of reach."""

REST_SECONDS: Final = 1.0
"""How long a server that was out of reach is left alone."""

_MOVES: Final = 3
"""How often one call follows its slot from node to node of a cluster."""

_ABSENT: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    OSError,
    NoMasterError,
    # While a slot is on its way to another node it is nowhere.
    redis.exceptions.AskError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
)


class UnreachableError(StoreError):
    """The server does not answer, or answers that it cannot do what was asked."""

    logged = True


class FullError(UnreachableError):
    """The server takes no more, and evicts nothing to make room."""


class Link:
    """One server, or what takes its place, as a process sees it.

    It may be used from any thread, and in a forked child after ``after_fork``.

    Attributes:
        answer: Seconds that an answer may take.
        moves: How often the namespace was found at another node of a cluster.
    """

    def __init__(self, url: str, namespace: str, *, answer: float = ANSWER_SECONDS) -> None:
        """Prepare to connect; nothing is sent.

        Args:
            url: As ``Address.of`` takes it.
            namespace: Whose keys are asked for; in a cluster all of them lie at one node.
            answer: Seconds that an answer may take.

        Raises:
            ConfigurationError: The URL cannot be read.
        """
        self._address = Address.of(url)
        self._key = f"{{{namespace}}}"
        self.answer = answer
        self._rest_until = 0.0
        """When a server that was out of reach is asked again; 0.0 while it is in reach."""
        self._probing = False
        self._own = threading.local()
        self._refused_at = 0.0
        self._looked_at = 0.0
        self.moves = 0
        self._questions: dict[str, bytes] = {}
        self._connect()

    def _connect(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._idle: list[Any] = []
        """Connections of reads, in use as far as the pool knows: to take one and give it back there costs a third of a
        read."""
        self.client, self._discovery = self._address.client(answer=self.answer, greet=greet, key=self._key)

    @property
    def resting(self) -> bool:
        """Whether the server was out of reach a moment ago, so that it is asked for nothing."""
        return bool(self._rest_until)

    @property
    def in_cluster(self) -> bool:
        """Whether the server is one node of a cluster."""
        return self._address.cluster

    def check(self) -> None:
        """Raise ConfigurationError when the server is in reach and is one that cannot be used."""
        try:
            found = self.call(lambda client: client.info("everything"))
        except UnreachableError:
            return
        version = str(found.get("valkey_version") or found.get("redis_version"))
        least = (7, 2) if "valkey_version" in found else (6, 2)
        if tuple(int(part) for part in version.split(".")[:2]) < least:
            raise ConfigurationError(f"the server is of version {version}; at least {least[0]}.{least[1]} is needed")
        if "sentinel" in (found.get("redis_mode"), found.get("server_mode")):
            raise ConfigurationError("the server is a sentinel; say in the url which master it watches: sentinel=NAME")
        if int(found.get("cluster_enabled", 0)) and not self._address.cluster:
            raise ConfigurationError("the server is part of a cluster; say so in the url: cluster=1")

    def call(self, action: Callable[[Any], Any]) -> Any:
        """Do something with the server.

        Raises:
            UnreachableError: It is out of reach, or refuses.
        """
        if self._rest_until and not self._takes_its_time():
            self._probe_soon()
            raise UnreachableError("the server is out of reach; it is asked again in a moment")
        try:
            found = self._follow(action)
        except _ABSENT as error:
            if not self._rest_until:
                logger.warning("the server is out of reach: %s", error)
            self._rest_until = time.monotonic() + REST_SECONDS
            self.look_anew()
            raise UnreachableError(f"the server is out of reach: {error}") from error
        except redis.exceptions.OutOfMemoryError as error:
            raise FullError(f"the server has no room: {error}") from error
        except redis.exceptions.RedisError as error:
            if time.monotonic() - self._refused_at > REST_SECONDS:
                self._refused_at = time.monotonic()
                logger.warning("the server refuses: %s", error)
            self.look_anew()
            raise UnreachableError(f"the server refuses: {error}") from error
        self._reached()
        return found

    def _reached(self) -> None:
        if self._rest_until:
            self._rest_until = 0.0
            logger.warning("the server is in reach again")

    def _takes_its_time(self) -> bool:
        found: bool = getattr(self._own, "awake", False)
        self._own.awake = False
        return found

    def _probe_soon(self) -> None:
        """Ask in the background whether the server is back: no read, and no event loop, waits for its silence."""
        if self._probing or time.monotonic() < self._rest_until:
            return
        self._probing = True
        try:
            workers.submit(self._probe)
        except RuntimeError:
            self._probing = False  # no thread is to be had now

    def _probe(self) -> None:
        try:
            self._follow(lambda client: client.ping())
        except (*_ABSENT, redis.exceptions.RedisError):
            self._rest_until = time.monotonic() + REST_SECONDS
            self.look_anew()
        else:
            self._reached()
        finally:
            self._probing = False

    def _follow(self, action: Callable[[Any], Any]) -> Any:
        """Do something where the namespace is: in a cluster its slot may have moved to another node.

        Why that is safe: only the owner of a slot does what is sent, since ASKING never is. What a new owner has of the
        log was made by another process, so it begins a new incarnation, in which clears wait for the leases of before.
        """
        moves, cuts = _MOVES, 1
        while True:
            try:
                return action(self.client)
            except redis.exceptions.MovedError as error:
                if not moves:
                    raise
                moves -= 1
                self._move(error)
            except redis.exceptions.ConnectionError:
                # A cut connection is tried once more, at once: what is done twice within one call does no harm.
                if not cuts:
                    raise
                cuts -= 1

    def _move(self, error: redis.exceptions.MovedError) -> None:
        if self._discovery is None or not self._address.cluster:
            raise redis.exceptions.ClusterError("it is part of a cluster: say cluster=1 in the url") from error
        self.moves += 1
        if error.host:
            self._discovery.prefer(Host(error.host, error.port))
        self._hang_up()

    def look_anew(self) -> None:
        """Find out anew where the server is: what was connected may be one that has been replaced.

        At most once in ``REST_SECONDS``.
        """
        now = time.monotonic()
        if now - self._looked_at < REST_SECONDS:
            return
        self._looked_at = now
        if self._discovery is not None:
            self._discovery.doubt()
        self._hang_up()

    def _hang_up(self) -> None:
        """End all connections that nobody uses just now; those that are in use end with their use, or fail."""
        idle, self._idle = self._idle, []
        pool = self.client.connection_pool
        while idle:
            with contextlib.suppress(IndexError):  # a read has taken the last one meanwhile
                connection = idle.pop()
                connection.disconnect()
                pool.release(connection)
        pool.disconnect(inuse_connections=False)

    def fetch(self, keys: Sequence[bytes], log: str) -> tuple[list[bytes | None], bytes | None]:
        """Return values, and the incarnation of the log beside them, or None where that log was made elsewhere.

        A connection ends with the process that it leads to. So whose memory answers is asked once for a connection, and
        a server that was restarted with what it had, or replaced, is told from the one that the log was made at.

        Raises:
            UnreachableError: The server is out of reach, or refuses.
        """
        return self.ask(self._request(keys, log), values_beside)

    def start(self, request: bytes) -> Started | None:
        """Send a request before its answer is asked for, where a connection is idle: so several links answer at once.

        Args:
            request: Commands as ``packed`` makes them.

        Returns:
            What ``ask`` goes on with, which must be called for it; None where it has to send the request itself.
        """
        pool, idle = self.client.connection_pool, self._idle
        if self._rest_until:
            return None
        try:
            connection = idle.pop()
        except IndexError:
            return None
        try:
            connection.send_packed_command([request])
        except (redis.exceptions.RedisError, OSError):
            connection.disconnect()
            pool.release(connection)
            return None
        return Started(pool, idle, connection, time.monotonic())

    def ask(self, request: bytes, read: Callable[[Any], A], started: Started | None = None) -> A:
        """Send commands over a connection that was idle, and return what was read of their answers.

        Args:
            request: Commands as ``packed`` makes them.
            read: Reads all their answers from a connection of redis-py.
            started: What ``start`` returned for this request.

        Raises:
            UnreachableError: The server is out of reach, or refuses.
        """

        def ask(pool: Any, idle: list[Any], connection: Any, sent: float | None = None) -> A:
            try:
                if sent is None:
                    connection.send_packed_command([request])
                else:
                    refuse_late(connection, sent + self.answer)
                found = read(connection)
            except BaseException:
                # An answer that is still to come must not be taken for the next one's.
                connection.disconnect()
                pool.release(connection)
                raise
            if idle is not self._idle:
                connection.disconnect()  # since then it was found out anew where the server is
                pool.release(connection)
            elif pool.max_connections < MOST_CONNECTIONS:
                pool.release(connection)  # others may be waiting for it
            else:
                idle.append(connection)
            return found

        def get(client: Any) -> A:
            nonlocal started
            pool, idle = client.connection_pool, self._idle
            with contextlib.suppress(IndexError, redis.exceptions.ConnectionError):
                if started is not None:
                    under_way, started = started, None
                    return ask(*under_way)
                return ask(pool, idle, idle.pop())
            # None is idle, or the server was restarted since: the pool tries those that it hands out.
            return ask(pool, idle, pool.get_connection())

        try:
            answer: A = self.call(get)
        finally:
            if started is not None:
                started.connection.disconnect()
                started.pool.release(started.connection)
        return answer

    def _request(self, keys: Sequence[bytes], log: str) -> bytes:
        """Return the bytes of both commands of ``fetch``: what redis-py makes of them too, but takes longer for."""
        question = self._questions.get(log)
        if question is None:
            question = self._questions[log] = packed([b"HMGET", log.encode(), b"inc", b"id"])
        # The values go first: an incarnation that begins behind them is seen, and they are not served.
        return packed([b"MGET", *keys]) + question

    def run(self, script: str, keys: Sequence[str | bytes], arguments: Sequence[Any]) -> Any:
        """Run a script in one step; it is sent as a whole only when the server does not have it."""
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = self.client.register_script(script)
        return self.call(lambda client: known(keys=keys, args=arguments, client=client))

    def run_and(
        self, script: str, keys: Sequence[str | bytes], arguments: Sequence[Any], command: Sequence[Any] | None
    ) -> tuple[Any, Any]:
        """Run a script and, on the same connection, a command right behind it; return both answers."""
        if command is None:
            return self.run(script, keys, arguments), None

        def both(client: Any) -> Any:
            with client.pipeline(transaction=False) as pipe:
                pipe.eval(script, len(keys), *keys, *arguments)
                pipe.execute_command(*command)
                return pipe.execute()

        first, second = self.call(both)
        return first, second

    def wake(self) -> None:
        """Have this thread's next call wait for the server, though it was out of reach a moment ago."""
        self._own.awake = True

    def close(self) -> None:
        """Close the connections."""
        self._hang_up()
        self.client.close()

    def after_fork(self) -> None:
        """In a forked child: leave the parent's connections alone."""
        self._rest_until = 0.0
        self._probing = False
        self._own = threading.local()
        self._connect()
