"""Blocking work beside an event loop, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["aside"]

_Answer = TypeVar("_Answer")


async def aside(work: Callable[[], _Answer]) -> _Answer:
    """Do something that blocks, and let the loop go on meanwhile.

    The thread is a daemon of its own: one of a pool would hold up the end of the program for as long as a server that
    does not answer.

    Args:
        work: What to do.

    Returns:
        What it returns.

    Raises:
        BaseException: What it raises.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Answer] = loop.create_future()

    def settle(answer: Callable[[], None]) -> None:
        if not future.done():
            answer()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            failure = error
            _tell(loop, lambda: settle(lambda: future.set_exception(failure)))
        else:
            _tell(loop, lambda: settle(lambda: future.set_result(found)))

    threading.Thread(target=run, name="cenote-top-request", daemon=True).start()
    return await future


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(what)
    except RuntimeError:
        return  # the loop has ended: nobody waits any more
