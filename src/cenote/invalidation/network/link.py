"""The link to the server: connections, time-outs and a breaker, so that a dead server costs next to nothing."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from cenote.errors import ConfigurationError, StoreError
from cenote.workers import workers

__all__ = ["ANSWER_SECONDS", "FullError", "Link", "UnreachableError"]

logger = logging.getLogger("cenote")

CONNECT_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 1.0
"""How long an answer may take; a server that is silent for longer counts as out of reach."""

REST_SECONDS: Final = 1.0
"""How long a server that was out of reach is left alone."""


class UnreachableError(StoreError):
    """The server does not answer, or answers that it cannot do what was asked."""

    logged = True


class FullError(UnreachableError):
    """The server takes no more, and evicts nothing to make room."""


class Link:
    """One server, or what takes its place, as a process sees it.

    It may be used from any thread, and in a forked child after ``after_fork``.
    """

    def __init__(self, url: str, *, answer: float = ANSWER_SECONDS) -> None:
        """Prepare to connect; nothing is sent.

        Args:
            url: redis://, rediss:// or unix://, as redis-py takes it.
            answer: Seconds that an answer may take.

        Raises:
            ConfigurationError: The URL cannot be read.
        """
        self._url = url
        self._answer = answer
        self._rest_until = 0.0
        """When a server that was out of reach is asked again; 0.0 while it is in reach."""
        self._probing = False
        self._own = threading.local()
        self._refused_at = 0.0
        self._scripts: dict[str, Script] = {}
        self.client = self._connect()

    def _connect(self) -> redis.Redis:
        try:
            return redis.Redis.from_url(
                self._url,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=self._answer,
                # A cut connection is tried once more, at once: what is done twice within one call does no harm.
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
                protocol=2,
                redis_connect_func=_greet,
            )
        except ValueError as error:
            raise ConfigurationError(f"the server's URL cannot be used: {error}") from None

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
        if int(found.get("cluster_enabled", 0)):
            raise ConfigurationError("the server is part of a cluster, which cannot be used; name a single server")

    def call(self, action: Callable[[Any], Any]) -> Any:
        """Do something with the server.

        Raises:
            UnreachableError: It is out of reach, or refuses.
        """
        if self._rest_until and not self._takes_its_time():
            self._probe_soon()
            raise UnreachableError("the server is out of reach; it is asked again in a moment")
        try:
            found = action(self.client)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
            if not self._rest_until:
                logger.warning("the server is out of reach: %s", error)
            self._rest_until = time.monotonic() + REST_SECONDS
            raise UnreachableError(f"the server is out of reach: {error}") from error
        except redis.exceptions.OutOfMemoryError as error:
            raise FullError(f"the server has no room: {error}") from error
        except redis.exceptions.RedisError as error:
            if time.monotonic() - self._refused_at > REST_SECONDS:
                self._refused_at = time.monotonic()
                logger.warning("the server refuses: %s", error)
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
            self.client.ping()
        except (redis.exceptions.RedisError, OSError):
            self._rest_until = time.monotonic() + REST_SECONDS
        else:
            self._reached()
        finally:
            self._probing = False

    def fetch(self, keys: Sequence[bytes], log: str) -> tuple[list[bytes | None], bytes | None]:
        """Return values, and the incarnation of the log beside them, or None where that log was made elsewhere.

        A connection ends with the process that it leads to. So whose memory answers is asked once for a connection, and
        a server that was restarted with what it had, or replaced, is told from the one that the log was made at.

        Raises:
            UnreachableError: The server is out of reach, or refuses.
        """

        def get(client: Any) -> tuple[list[bytes | None], bytes | None]:
            pool = client.connection_pool
            connection = pool.get_connection()
            try:
                connection.send_packed_command(connection.pack_commands([("MGET", *keys), ("HMGET", log, "inc", "id")]))
                values = connection.read_response()
                incarnation, identity = connection.read_response()
            except BaseException:
                connection.disconnect()
                raise
            finally:
                pool.release(connection)
            made_here = identity is not None and identity.startswith(connection.run_id)
            return values, incarnation if made_here else None

        def get_surely(client: Any) -> tuple[list[bytes | None], bytes | None]:
            try:
                return get(client)
            except redis.exceptions.ConnectionError:
                return get(client)  # it may have been idle while the server was restarted

        found: tuple[list[bytes | None], bytes | None] = self.call(get_surely)
        return found

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
        self.client.close()

    def after_fork(self) -> None:
        """In a forked child: leave the parent's connections alone."""
        self._rest_until = 0.0
        self._probing = False
        self._own = threading.local()
        self._scripts = {}
        self.client = self._connect()


def _greet(connection: Any) -> None:
    """Do what a new connection needs, and ask which process it leads to."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    found = re.search(rb"run_id:([0-9a-f]+)", connection.read_response())
    connection.run_id = found[1] if found is not None else b"?"
