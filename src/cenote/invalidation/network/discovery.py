"""Discovery of the master: the sentinels that watch it, or the nodes of its cluster, say where it is.

They are asked for each new connection, one after another. Who does not answer is asked last from then on, and so is who
named a server that does not serve: it may be cut off from the others, and know only what was.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import redis
from redis.crc import key_slot

__all__ = ["ClusterDiscovery", "Discovery", "Host", "NoMasterError", "SentinelDiscovery"]

SEEK_SECONDS: Final = 1.0
"""After how long nobody else is asked; the next call goes on with those who were not."""


class NoMasterError(redis.exceptions.RedisError):
    """Nobody who was asked names a master."""


class Host(NamedTuple):
    """Where somebody listens.

    Attributes:
        host: A name or an address.
        port: The port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """Return what people write."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Discovery(ABC):
    """Those who know where the master is; any thread may ask.

    The pool that redis-py has for a master that moves takes it for its ``sentinel_manager``.
    """

    def __init__(self, hosts: Iterable[Host], connect: Callable[[Host], Any]) -> None:
        """Prepare; nobody is asked yet.

        Args:
            hosts: Who is asked, at first in this order.
            connect: Makes a connection of redis-py, which is not open yet.
        """
        self._hosts = list(hosts)
        self._connect = connect
        self._lock = threading.Lock()
        self._trusted: Host | None = None
        """Who named the master last."""

    def discover_master(self, service_name: str) -> Host:
        """Return where the master is.

        Args:
            service_name: What to call it in a message.

        Raises:
            NoMasterError: Nobody says so, of those that could be asked within about two seconds.
        """
        began = time.monotonic()
        said = []
        for host in tuple(self._hosts):
            connection = self._connect(host)
            try:
                connection.connect()
                found = self._ask(connection, host)
            except (redis.exceptions.RedisError, OSError) as error:
                said.append(f"{host} says: {error}")
                self._ask_last(host)
            else:
                self._trusted = host
                return found
            finally:
                with contextlib.suppress(redis.exceptions.RedisError, OSError):
                    connection.disconnect()
            if time.monotonic() - began > SEEK_SECONDS:
                break
        raise NoMasterError(f"nobody knows where {service_name} is; {'; '.join(said)}")

    @abstractmethod
    def _ask(self, connection: Any, host: Host) -> Host:
        """Return the master that somebody names; raise NoMasterError, or an error of redis-py, for none."""

    def doubt(self) -> None:
        """Ask others first next time: what was named last does not serve."""
        if self._trusted is not None:
            self._ask_last(self._trusted)

    def _ask_last(self, host: Host) -> None:
        with self._lock:
            self._hosts = [*(each for each in self._hosts if each != host), host]

    def prefer(self, host: Host) -> None:
        """Ask somebody first from now on."""
        with self._lock:
            self._hosts = [host, *(each for each in self._hosts if each != host)]


class SentinelDiscovery(Discovery):
    """The sentinels that watch a master."""

    def __init__(self, hosts: Iterable[Host], connect: Callable[[Host], Any], master: str) -> None:
        """Prepare; nobody is asked yet.

        Args:
            hosts: The sentinels.
            connect: Makes a connection to one, which is not open yet.
            master: What they call the master.
        """
        super().__init__(hosts, connect)
        self._master = master

    def _ask(self, connection: Any, host: Host) -> Host:  # noqa: ARG002  # the nodes of a cluster need it
        # Amid a failover SENTINEL MASTER still tells of the old one.
        connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master)
        found = connection.read_response()
        if not found:
            raise NoMasterError(f"there is no master called {self._master}")
        return Host(_text(found[0]), int(found[1]))


class ClusterDiscovery(Discovery):
    """The nodes of a cluster: those that were given, and those that they name."""

    def __init__(self, hosts: Iterable[Host], connect: Callable[[Host], Any], key: str) -> None:
        """Prepare; nobody is asked yet.

        Args:
            hosts: Some nodes.
            connect: Makes a connection to one, which is not open yet.
            key: A key; its slot's master is looked for.
        """
        super().__init__(hosts, connect)
        self._given = tuple(self._hosts)
        self._slot = key_slot(key.encode())

    def _ask(self, connection: Any, host: Host) -> Host:
        connection.send_command("CLUSTER", "SLOTS")
        ranges = connection.read_response()
        # A node that does not know by which name it is reached gives none: it is where it was asked.
        shards = [[Host(_text(each[0] or host.host), each[1]) for each in nodes] for _, _, *nodes in ranges]
        self._learn(node for nodes in shards for node in nodes)
        for (first, last, *_), nodes in zip(ranges, shards, strict=True):
            if first <= self._slot <= last:
                return nodes[0]
        raise NoMasterError(f"no node has slot {self._slot}")

    def _learn(self, nodes: Iterable[Host]) -> None:
        with self._lock:
            known = dict.fromkeys([*self._given, *nodes])
            self._hosts = list(dict.fromkeys([*(each for each in self._hosts if each in known), *known]))


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode()
