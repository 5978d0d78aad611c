"""Connecting: how a URL becomes a client of one server, of the master that sentinels watch, or of one in a cluster."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from cenote.errors import ConfigurationError
from cenote.invalidation.network.discovery import ClusterDiscovery, Discovery, Host, SentinelDiscovery
from cenote.invalidation.network.encryption import check_encryption

__all__ = ["MOST_CONNECTIONS", "Address"]

CONNECT_SECONDS: Final = 0.5
"""How long it may take to connect; and to answer, for a sentinel or a node that is asked where the master is."""

MOST_CONNECTIONS: Final = 1 << 31
"""As many as there are threads, where the URL says nothing else: with less, one more would find no server."""

_UNNAMED: Final[dict[str, None]] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)
"""What has redis-py not say its name: a server logs that of each user who has no right to, at each connection."""

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says of where the server is, and how to connect.

    Attributes:
        hosts: The server; or sentinels; or nodes of a cluster; none for a socket file.
        sentinel: What the sentinels call the master; "" where there are none.
        cluster: Whether the server is one of a cluster.
    """

    hosts: tuple[Host, ...]
    sentinel: str
    cluster: bool
    _options: dict[str, Any] = field(repr=False)
    """What redis-py makes a connection to the server of."""
    _login: dict[str, str] = field(repr=False)
    """User and password at the sentinels."""

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL.

        Args:
            url: redis://, rediss:// or unix://, as redis-py takes it. With ``sentinel=NAME`` in the query its hosts,
                separated by commas, are sentinels; with ``cluster=1`` they are nodes of a cluster.

        Raises:
            ConfigurationError: It cannot be read, or contradicts itself.
        """
        try:
            parts = urlsplit(url)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            sentinel, cluster = query.pop("sentinel", ""), query.pop("cluster", "")
            login = {name: query.pop(f"sentinel_{name}", "") for name in ("username", "password")}
            user, at, place = parts.netloc.rpartition("@")
            options: dict[str, Any] = parse_url(  # type: ignore[no-untyped-call]
                f"{parts.scheme}://{user}{at}{parts.path}?{urlencode(query)}"
            )
        except ValueError as error:
            raise _unusable(str(error)) from None
        files = parts.scheme == "unix"
        hosts = () if files else _hosts(place, _SENTINEL_PORT if sentinel else _PORT)
        for wrong, what in (
            (cluster not in ("", "1"), "cluster must be 1, or be left out"),
            (sentinel and cluster, "it has either sentinel=NAME or cluster=1"),
            (files and (sentinel or cluster), "sentinels, and nodes of a cluster, are named by their hosts"),
            (len(hosts) > 1 and not (sentinel or cluster), "several hosts need sentinel=NAME or cluster=1"),
            (any(login.values()) and not sentinel, "sentinel_username and sentinel_password need sentinel=NAME"),
            (cluster and options.get("db"), "a cluster has no database but 0"),
        ):
            if wrong:
                raise _unusable(what)
        return cls(hosts, sentinel, bool(cluster), options, {name: text for name, text in login.items() if text})

    def client(self, *, answer: float, greet: Callable[[Any], None], key: str) -> tuple[redis.Redis, Discovery | None]:
        """Make a client; nothing is sent.

        Args:
            answer: Seconds that an answer may take.
            greet: Does what a new connection to the server needs.
            key: A key that lies in the slot that is wanted of a cluster.

        Returns:
            The client, and what finds its server where that can be asked.

        Raises:
            ConfigurationError: The URL says something that redis-py does not know.
        """
        options: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": answer,
            # Who calls tries again: here it would be where the server was, without asking anew.
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "max_connections": MOST_CONNECTIONS,
            "redis_connect_func": greet,
            **_UNNAMED,
            **self._options,
        }
        discovery = self._discovery(key)
        pool: redis.ConnectionPool
        if discovery is None:
            for host in self.hosts:
                options |= host._asdict()
            pool = redis.ConnectionPool(**options)
        else:
            encrypted = options.pop("connection_class", None) is not None
            name = f"the master {self.sentinel}" if self.sentinel else "the master of the namespace"
            pool = SentinelConnectionPool(name, discovery, ssl=encrypted, **options)  # type: ignore[no-untyped-call]
        try:
            made = pool.connection_class(**pool.connection_kwargs)
        except (TypeError, redis.RedisError) as error:
            raise _unusable(str(error)) from None
        if isinstance(made, SSLConnection):
            check_encryption(self._options)
        return redis.Redis.from_pool(pool), discovery

    def _discovery(self, key: str) -> Discovery | None:
        made = SSLConnection if "connection_class" in self._options else Connection
        options = {name: value for name, value in self._options.items() if name.startswith("ssl_")}
        login = self._login if self.sentinel else self._options
        options |= {name: login[name] for name in ("username", "password") if name in login}

        def connect(host: Host) -> Any:
            return made(
                host=host.host,
                port=host.port,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=CONNECT_SECONDS,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                **_UNNAMED,
                **options,
            )

        if self.sentinel:
            return SentinelDiscovery(self.hosts, connect, self.sentinel)
        return ClusterDiscovery(self.hosts, connect, key) if self.cluster else None


def _hosts(text: str, port: int) -> tuple[Host, ...]:
    """Return the hosts that stand between the user and the path of a URL."""
    found = []
    for each in text.split(","):
        try:
            parts = urlsplit(f"//{each}")
            found.append(Host(parts.hostname or "localhost", parts.port or port))
        except ValueError:
            # What a password with a slash would leave there must not be shown.
            raise _unusable("it must have a host, or several, each with a port that is a number") from None
    return tuple(found)


def _unusable(what: str) -> ConfigurationError:
    return ConfigurationError(f"the server's URL cannot be used: {what}")
