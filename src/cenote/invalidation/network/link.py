"""The link to the server: connections, time-outs and a breaker, so that a dead server costs next to nothing."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis

from cenote.errors import ConfigurationError
from cenote.invalidation.network.connecting import Address
from cenote.invalidation.network.discovery import Host, NoMasterError
from cenote.invalidation.network.fetching import Fetching, UnreachableError
from cenote.invalidation.network.wire import Started, Wire, packed
from cenote.meters import Meters
from cenote.workers import workers

__all__ = ["ANSWER_SECONDS", "Arguments", "FullError", "Link", "UnreachableError"]

Arguments = Sequence[Any] | Callable[[], Sequence[Any]]
"""What a script is given, or what makes it, anew each time that it is sent."""

logger = logging.getLogger("cenote")

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


class FullError(UnreachableError):
    """The server takes no more, and evicts nothing to make room."""


class Link(Fetching):
    """One server, or what takes its place, as a process sees it.

    It may be used from any thread, and in a forked child after ``after_fork``.

    Attributes:
        answer: Seconds that an answer may take.
        moves: How often the namespace was found at another node of a cluster.
        calls: How often the server was asked.
        failures: How often it did not answer, or refused.
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
        self.calls = self.failures = 0
        self._counting = threading.RLock()
        super().__init__()
        self._connect()

    def _connect(self) -> None:
        self.client, self._discovery = self._address.client(answer=self.answer, greet=_greet, key=self._key)
        self._wire = Wire(self.client.connection_pool)

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
            found = self._counted(action)
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

    def measure(self, meters: Meters) -> None:
        """Write how often this process asked the server, and whether it takes it for out of reach."""
        meters.calls, meters.call_failures, meters.breakers = self.calls, self.failures, int(self._rest_until > 0)

    def _counted(self, action: Callable[[Any], Any]) -> Any:
        try:
            return self._follow(action)
        except Exception:
            with self._counting:
                self.failures += 1
            raise
        finally:
            with self._counting:
                self.calls += 1

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
        self._wire.hang_up()

    def start(self, request: bytes) -> Started | None:
        """Send commands before their answers are asked for, where a connection is idle, so that several links answer.

        Args:
            request: The commands, packed.

        Returns:
            What ``ask`` goes on with, which must be called for it; None where it has to send them itself.
        """
        return None if self._rest_until else self._wire.start(request, self.answer)

    def drop(self, started: Started) -> None:
        """Ask for no answer to what was started."""
        self._wire.drop(started)

    def start_script(self, script: str, keys: Sequence[str | bytes], arguments: Sequence[Any]) -> Started | None:
        """Do what ``start`` does for a script, which is ``run`` then."""
        return self.start(self._wire.by_digest(script, _parts(keys, arguments)))

    def ask(self, request: bytes, answers: int, started: Started | None = None) -> tuple[list[Any], bytes]:
        """Send commands and return their answers, and the ``run_id`` of the process that gave them.

        Args:
            request: The commands, packed.
            answers: How many there are.
            started: What ``start`` returned for them.

        Raises:
            UnreachableError: The server is out of reach, or refuses.
        """
        found: tuple[list[Any], bytes] = self._finish(
            lambda sent: self._wire.ask(lambda: request, answers, sent), started
        )
        return found

    def _finish(self, action: Callable[[Started | None], Any], started: Started | None) -> Any:
        """Do something that was started: what is done once more begins anew."""
        if started is None:
            return self.call(lambda _: action(None))
        left = [started]
        try:
            return self.call(lambda _: action(left.pop() if left else None))
        finally:
            if left:
                self._wire.drop(left.pop())

    def run(
        self, script: str, keys: Sequence[str | bytes], arguments: Arguments, started: Started | None = None
    ) -> Any:
        """Run a script in one step; ``started`` is what ``start_script`` returned for it."""
        return self._finish(lambda sent: self._wire.run(script, lambda: _parts(keys, arguments), b"", sent), started)[0]

    def run_and(
        self, script: str, keys: Sequence[str | bytes], arguments: Arguments, command: Sequence[Any] | None
    ) -> tuple[Any, Any]:
        """Run a script and, on the same connection, a command right behind it; return both answers."""
        behind = packed([_encoded(part) for part in command]) if command else b""
        found = self.call(lambda _: self._wire.run(script, lambda: _parts(keys, arguments), behind))
        return found[0], found[1] if behind else None

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
        self.calls = self.failures = 0
        self._counting = threading.RLock()
        self._connect()


def _parts(keys: Sequence[str | bytes], arguments: Arguments) -> list[bytes]:
    made = arguments() if callable(arguments) else arguments
    return [b"%d" % len(keys), *map(_encoded, keys), *map(_encoded, made)]


def _encoded(part: Any) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


def _greet(connection: Any) -> None:
    """Do what a new connection needs, and ask which process it leads to."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    found = re.search(rb"run_id:([0-9a-f]+)", connection.read_response())
    connection.run_id = found[1] if found is not None else b"?"
