"""The HTTP client of the command line: one method per endpoint, one failure per way to fail."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote

import httpx

from cenote.cli.failures import (
    NotAllowed,
    NotCenote,
    NotFound,
    Refused,
    ServerUnreachable,
    WrongUsage,
)
from cenote.cli.sse import EventReader

__all__ = ["CenoteClient"]

_JSON = "application/json"
_RECONNECT = 1.0
_TOKEN = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[\w.:-]+")
_LARGEST_ANSWER = 64 * 1024 * 1024


class CenoteClient:
    """A connection to one Cenote server.

    Args:
        server: The address, with or without ``http://``.
        token: The token that the server wants, if any.
        timeout: Seconds that one answer may take.
    """

    def __init__(self, server: str, token: str | None = None, timeout: float = 10.0) -> None:
        base = _base_url(server)
        self.address = str(base.copy_with(username=None, password=None)).rstrip("/")
        self._timeout = timeout
        self._has_token = token is not None
        headers = {"Accept": _JSON}
        if token is not None:
            if not _TOKEN.fullmatch(token):
                raise WrongUsage("a token is made of printable ASCII characters without spaces")
            headers["Authorization"] = f"Bearer {token}"
        self._connection: dict[str, Any] = {
            "base_url": base,
            "headers": headers,
            "timeout": httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            # A proxy is for other machines: it could not reach this one's loopback address.
            "trust_env": not _is_loopback(base.host),
        }
        self._http = httpx.Client(**self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def asynchronous(self) -> httpx.AsyncClient:
        """Return a connection of its own to the same server with the same token, for event loops."""
        return httpx.AsyncClient(**self._connection)

    def status(self) -> dict[str, Any]:
        """Return sizes, the backend and whether caching is on."""
        return self._call("GET", "/api/system/cache/status", needs="backend")

    def stats(self, service: str | None = None) -> dict[str, Any]:
        """Return the statistics of all caches, or of one service's."""
        if service is None:
            return self._call("GET", "/api/system/cache/stats", needs="serviceCaches")
        return self._call("GET", f"/api/system/cache/stats/{quote(service, safe='')}", needs="found")

    def clear(self, service: str | None, **fields: Any) -> dict[str, Any]:
        """Clear one service's cache, or the global cache for ``None``.

        Args:
            service: The service's name.
            fields: More fields of the request, named as on the wire.

        Raises:
            NotFound: There is no such service; nothing was cleared.
            Refused: The clear could not keep its promise.
        """
        body = {"serviceName": service, **fields}
        return self._call("POST", "/api/system/cache/clear", body=body, needs="clearedItems")

    def clear_all(self, **fields: Any) -> dict[str, Any]:
        """Clear the global cache and every service's in one step."""
        return self._call("POST", "/api/system/performance/clear-cache", body=fields, needs="clearedItems")

    def invalidate(self, key: str, service: str | None) -> dict[str, Any]:
        """Remove one entry by its identifier."""
        body = {"key": key, "serviceName": service}
        return self._call("DELETE", "/api/system/cache/invalidate", body=body, needs="found")

    def entries(self, service: str | None, **query: Any) -> dict[str, Any]:
        """Return one page of the entries of a cache.

        Args:
            service: The service's name; ``None`` for the global cache.
            query: ``prefix``, ``tag``, ``cursor`` and ``limit``; those that are ``None`` are left out.
        """
        asked = {name: value for name, value in {"serviceName": service, **query}.items() if value is not None}
        return self._call("GET", "/api/system/cache/entries", query=asked, needs="entries")

    def events(self, limit: int) -> dict[str, Any]:
        """Return the latest events of the audit trail."""
        return self._call("GET", "/api/system/cache/events", query={"limit": limit}, needs="events")

    def follow_events(self, begun: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """Yield events as they happen, until the server is gone; a stream that ends is taken up where it ended.

        Args:
            begun: Called each time that the server begins to stream.
        """
        url = "/api/system/cache/events/stream"
        timeout = httpx.Timeout(self._timeout, read=None)
        headers = {"Accept": "text/event-stream"}
        try:
            while True:
                with self._http.stream("GET", url, headers=headers, timeout=timeout) as answer:
                    if answer.status_code != httpx.codes.OK or _media_type(answer) != "text/event-stream":
                        self.judge(answer, self._read(answer), needs="events")
                    begun()
                    reader = EventReader()
                    for line in answer.iter_lines():
                        found = reader.feed(line)
                        if found is not None:
                            headers["Last-Event-ID"] = reader.last_id
                            yield {"action": found[0], **found[1]}
                time.sleep(_RECONNECT)
        except ValueError as error:
            raise NotCenote(f"{self.address} streams something unreadable.") from error
        except httpx.TransportError as error:
            raise self.unreachable(error) from error

    def session(self) -> dict[str, Any]:
        """Return who the caller is to the server, and whether it wants a token."""
        return self._call("GET", "/api/system/session", needs="required")

    def overview(self, **query: Any) -> dict[str, Any]:
        """Return all caches at a glance.

        Args:
            query: ``search``, ``sort``, ``order``, ``offset``, ``limit`` and ``sparklines``; those that are ``None``
                are left out.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", "/api/system/cache/overview", query=asked, needs="totals")

    def detail(self, service: str | None) -> dict[str, Any]:
        """Return one cache with its options, functions and hottest keys."""
        return self._call("GET", "/api/system/cache/detail", query=_named(service), needs="options")

    def history(self, service: str | None, span: str) -> dict[str, Any]:
        """Return what a cache did in the last ``10m`` or ``24h``."""
        query = {**_named(service), "range": span}
        return self._call("GET", "/api/system/cache/history", query=query, needs="series")

    def explain(self, key: str, service: str | None) -> dict[str, Any]:
        """Return what is known of one key; it counts as no read."""
        return self._call("GET", "/api/system/cache/explain", query={**_named(service), "key": key}, needs="state")

    def preview(self, **fields: Any) -> dict[str, Any]:
        """Return what a clear would remove and cost; nothing is cleared.

        Args:
            fields: The fields of the clear, named as on the wire; ``all`` for everything.
        """
        return self._call("POST", "/api/system/cache/clear/preview", body=fields, needs="entries")

    def clear_progress(self, clear_id: str) -> dict[str, Any]:
        """Return one clear, under way or over, with the members that acknowledged it."""
        return self._call("GET", f"/api/system/cache/clears/{quote(clear_id, safe='')}", needs="clearId")

    def recovery(self, clear_id: str) -> dict[str, Any]:
        """Return how the hit rate came back after a clear, beside what was predicted."""
        return self._call("GET", "/api/system/cache/recovery", query={"clearId": clear_id}, needs="actual")

    def stop_refill(self, service: str | None, *, everything: bool = False) -> dict[str, Any]:
        """End a paced refill, or those of all caches, so that every load is let through at once."""
        query = {"all": "true"} if everything else _named(service)
        return self._call("DELETE", "/api/system/cache/refill", query=query, needs="success")

    def _call(
        self,
        method: str,
        path: str,
        *,
        needs: str,
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            with self._http.stream(method, path, json=body, params=query) as answer:
                content = self._read(answer)
        except httpx.TransportError as error:
            raise self.unreachable(error) from error
        return self.judge(answer, content, needs)

    def _read(self, answer: httpx.Response) -> bytes:
        """Read the body with an end in time and in size, whatever is on the other side."""
        deadline = time.monotonic() + self._timeout
        content = bytearray()
        try:
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > _LARGEST_ANSWER or time.monotonic() > deadline:
                    raise ServerUnreachable(f"The answer of {self.address} takes too long or is too large.")
        except httpx.DecodingError as error:
            raise NotCenote(f"{self.address} answers something unreadable; it is not a Cenote server.") from error
        return bytes(content)

    def unreachable(self, error: httpx.TransportError) -> ServerUnreachable | NotCenote:
        """Return the failure that a broken or refused connection means."""
        if isinstance(error, httpx.TimeoutException):
            return ServerUnreachable(f"The server at {self.address} did not answer in time ({self._timeout:g} s).")
        if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
            stopped = "closed connection" in str(error) or "incomplete" in str(error)
            if not stopped:
                return NotCenote(f"{self.address} does not speak HTTP; it is not a Cenote server.")
        if isinstance(error, httpx.ConnectError):
            return ServerUnreachable(f"No server answers at {self.address} ({_cause(error)}).")
        return ServerUnreachable(f"The server at {self.address} broke the connection.")

    def judge(self, answer: httpx.Response, content: bytes, needs: str) -> dict[str, Any]:
        """Return the answer's fields, or raise the failure that the answer means.

        Args:
            answer: The answer, for its status and its headers.
            content: Its body.
            needs: A field that this answer of a Cenote server always has.

        Raises:
            Failure: One of those in ``cenote.cli.failures``.
        """
        status = answer.status_code
        fields = _fields(answer, content)
        said = "" if fields is None else _sentence(fields)
        if status == httpx.codes.UNAUTHORIZED:
            if self._has_token:
                raise NotAllowed(f"The server at {self.address} refused the token.", fields)
            hint = "give --token or set CENOTE_TOKEN"
            raise NotAllowed(f"The server at {self.address} wants a token: {hint}.", fields)
        if status == httpx.codes.FORBIDDEN:
            raise NotAllowed(f"The server at {self.address} does not allow this: {said or 'forbidden'}", fields)
        if fields is None or (status == httpx.codes.NOT_FOUND and fields == {"detail": "Not Found"}):
            kind = _media_type(answer) or "no content type"
            raise NotCenote(f"{self.address} answers, but is not a Cenote server (HTTP {status}, {kind}).")
        if status == httpx.codes.NOT_FOUND:
            raise NotFound(said or "Not found.", fields)
        if not answer.is_success:
            raise Refused(said or f"The server at {self.address} answered HTTP {status}.", fields)
        if needs not in fields:
            raise NotCenote(f"{self.address} answers, but not as a Cenote server does (no {needs!r}).")
        if fields.get("status") == "error":
            raise Refused(said, fields)
        return fields


def _base_url(server: str) -> httpx.URL:
    text = server if "://" in server else f"http://{server}"
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise WrongUsage(f"{server!r} is not the address of a server: {error}") from error
    if url.scheme not in {"http", "https"} or not _HOST.fullmatch(url.host):
        raise WrongUsage(f"{server!r} is not the address of a server; write http://host:port")
    return url


def _named(service: str | None) -> dict[str, str]:
    """Return the query that names a cache; the global one is named by leaving it out."""
    return {} if service is None else {"serviceName": service}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _media_type(answer: httpx.Response) -> str:
    return cast("str", answer.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _fields(answer: httpx.Response, content: bytes) -> dict[str, Any] | None:
    if "json" not in _media_type(answer):
        return None
    try:
        fields = json.loads(content)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _sentence(fields: dict[str, Any]) -> str:
    """Return what an answer says to a person: its message, its detail, or the fields it refuses."""
    if isinstance(fields.get("message"), str):
        return cast("str", fields["message"])
    detail = fields.get("detail")
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        faults = [fault for fault in detail if isinstance(fault, dict)]
        return "; ".join(
            f"{'.'.join(str(part) for part in fault.get('loc', ()))}: {fault.get('msg', '')}" for fault in faults
        )
    return ""


def _cause(error: BaseException) -> str:
    text = str(error)
    if "refused" in text:
        return "connection refused"
    return text.partition("] ")[2] or text or type(error).__name__
