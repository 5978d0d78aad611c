"""The connection of ``cenote top``: a stream, polls where there is none, and patience while the server is away."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from cenote.cli.client import CenoteClient
from cenote.cli.failures import Failure, NotAllowed, ServerUnreachable
from cenote.cli.sse import EventReader

__all__ = ["Feed", "Link", "LinkState"]

_LIVE: Final = "/api/system/cache/live"
_INTERVAL: Final = 2.0
_RENEWAL: Final = 5.0
_AGAIN: Final = 30.0
_LONGEST_WAIT: Final = 5.0
# A stream that is silent for longer than several of the server's heartbeats has lost its server.
_SILENCE: Final = 60.0


class LinkState(enum.Enum):
    """How the screen is connected with its server."""

    CONNECTING = "connecting"
    LIVE = "live"
    POLLING = "polling"
    AWAY = "away"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Link:
    """What there is to say of the connection.

    Attributes:
        state: How it is.
        sentence: Why, where it is not as it should be.
    """

    state: LinkState
    sentence: str = ""


class Feed:
    """Brings news until it is cancelled.

    Args:
        client: The server.
        happened: Called with the kind of an event and its data.
        refresh: Asks the server for the overview; raises a Failure when that does not work.
        changed: Called when the connection is another.
    """

    def __init__(
        self,
        client: CenoteClient,
        *,
        happened: Callable[[str, dict[str, Any]], None],
        refresh: Callable[[], Awaitable[None]],
        changed: Callable[[Link], None],
    ) -> None:
        self._client = client
        self._happened = happened
        self._refresh = refresh
        self._changed = changed
        self._last_id = ""
        self._hurry = asyncio.Event()
        self.link = Link(LinkState.CONNECTING)

    def hurry(self) -> None:
        """Try again at once."""
        self._hurry.set()

    async def run(self) -> None:
        """Follow the server: streams first, polls where it has no stream, and again and again while it is away."""
        wait = 0.5
        while True:
            try:
                seconds = await self._stream()
                wait = 0.5
                # One that ends as soon as it begins must not become a loop without rest.
                await self._rest(wait)
                await self._poll(seconds)
            except NotAllowed as failure:
                self._say(LinkState.REFUSED, str(failure))
                await self._rest(_LONGEST_WAIT)
            except Failure as failure:
                self._say(LinkState.AWAY, str(failure))
                await self._rest(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    async def _stream(self) -> float:
        """Read the stream to its end.

        Returns:
            For how many seconds to poll before it is tried again; none when it has come to its end.

        Raises:
            Failure: The server is away, or wants another token.
        """
        await self._refresh()
        headers = {"Accept": "text/event-stream"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        timeout = httpx.Timeout(_SILENCE, connect=5.0)
        try:
            async with (
                self._client.asynchronous() as http,
                http.stream("GET", _LIVE, params={"interval": _INTERVAL}, headers=headers, timeout=timeout) as answer,
            ):
                if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE}:
                    return _AGAIN
                if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                    self._client.judge(answer, await answer.aread(), needs="stream")
                    return _AGAIN
                self._say(LinkState.LIVE)
                await self._follow(answer)
        except httpx.TransportError as error:
            raise self._client.unreachable(error) from error
        except ValueError as error:
            raise ServerUnreachable(f"{self._client.address} streams something unreadable.") from error
        return 0.0

    async def _follow(self, answer: httpx.Response) -> None:
        """Read events, and ask for the rows on the screen now and then: the stream says nothing of their order.

        An answer that does not come also shows, long before the silence of a stream does, that the server hangs.
        """
        tasks = {asyncio.create_task(self._read(answer)), asyncio.create_task(self._renew())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEWAL)
            await self._refresh()

    async def _read(self, answer: httpx.Response) -> None:
        reader = EventReader()
        async for line in answer.aiter_lines():
            found = reader.feed(line)
            if found is not None:
                self._last_id = reader.last_id
                self._happened(*found)

    async def _poll(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            self._say(LinkState.POLLING, f"every {_INTERVAL:g} s")
            if await self._rest(_INTERVAL):
                return
            await self._refresh()

    async def _rest(self, seconds: float) -> bool:
        """Wait; tell whether somebody is in a hurry."""
        self._hurry.clear()
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _say(self, state: LinkState, sentence: str = "") -> None:
        link = Link(state, sentence)
        if link != self.link:
            self.link = link
            self._changed(link)
