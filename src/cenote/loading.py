"""Loads in threads: one for a key at a time, run by the first caller or, in the background, by a worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from cenote import locks
from cenote.admission import admit
from cenote.approach import LOOK_AGAIN_SECONDS, Started, Step, alone, apart, approach, leave, outcome_of, serve
from cenote.claiming import Claim
from cenote.core import CacheCore
from cenote.errors import LoadTimeoutError
from cenote.flight import Flight
from cenote.pacing import TryAgain
from cenote.tables import Slot
from cenote.terms import Terms
from cenote.waits import CURRENT
from cenote.workers import workers

__all__ = ["load", "reload", "start_behind", "wait_for"]

logger = logging.getLogger("cenote")


def load(
    core: CacheCore, slot: Slot, key: Hashable, call: Callable[[], Any], terms: Terms, *, anew: bool = False
) -> Any:
    """Serve a key that the fast path did not, loading it if need be.

    Args:
        core: The cache.
        slot: The table.
        key: The key in the table.
        call: The loader.
        terms: What the caller said of the value.
        anew: Whether to load even if a fresh value is there.

    Returns:
        The value.
    """
    if apart(core):
        return call()
    seen = core.ask()
    if not anew:
        served, value = serve(
            core, slot, key, terms, lambda flight: start_behind(core, slot, flight, call, terms), seen=seen
        )
        if served:
            return value
    first = True
    while True:
        seen = seen if first else core.ask()
        found = core.seek(slot, key, seen) if core.far and not anew else None
        waiter = locks.make_waiter()
        with Started(core) as started:
            step, what = approach(
                core,
                slot,
                key,
                terms,
                None,
                waiter.wake,
                started,
                first=first,
                anew=anew,
                blocking=True,
                seen=seen,
                found=found,
            )
            first = False
            if step is Step.SERVE:
                return core.hand_out(what)
            if step is Step.ALONE:
                with alone(core, partial(slot.identifier, key)):
                    return call()
            if step is Step.LEAD_BEHIND:
                flight, value = what
                start_behind(core, slot, flight, call, terms)
                started.clear()
                return core.hand_out(value)
            if step is Step.LEAD:
                if core.options.load_timeout is None:
                    try:
                        return _lead(core, slot, what, call, terms)
                    except TryAgain:
                        continue
                flight = what
                workers.submit(lambda: _lead_behind(core, slot, flight, call, terms))  # noqa: B023  # run before the next turn
                started.clear()
                wait_for(core, slot, flight, waiter)
                try:
                    return outcome_of(core, flight, led=True)
                except TryAgain:
                    continue
        flight, wait = what
        try:
            with flight.waiting():
                ended = wait_for(core, slot, flight, waiter)
        finally:
            wait.over()
        if not ended:
            with alone(core, partial(slot.identifier, key)):
                return call()
        if flight.outcome.abandoned is None:
            return outcome_of(core, flight)


def reload(core: CacheCore, slot: Slot, key: Hashable, call: Callable[[], Any], terms: Terms) -> Any:
    """Load a key now, whatever is there, and publish the new value."""
    with core.changing("refresh"):
        core.obey().detach_key(slot.index, key)
    core.tell_key(slot, key, ahead=True)
    value = load(core, slot, key, call, terms, anew=True)
    core.tell_key(slot, key)
    return value


def _lead(core: CacheCore, slot: Slot, flight: Flight, call: Callable[[], Any], terms: Terms) -> Any:
    """Run a load in the calling thread, to its end in every case."""
    token = CURRENT.set(flight)
    claim = Claim(core, slot, flight)
    try:
        admit(core, slot, flight)
        while (pause := claim.pause()) is not None:
            time.sleep(pause)
        if claim.outcome is not None:
            return outcome_of(core, flight, led=True)
        with flight.running():
            value = call()
        outcome = core.settle(slot, flight, value, terms)
    except Exception as error:
        outcome = core.fail(slot, flight, error)
        if outcome.error is error:
            raise
        return outcome_of(core, flight)
    except BaseException as reason:
        core.abandon(flight, reason)
        raise
    finally:
        claim.over()
        CURRENT.reset(token)
    # Where callers have copies of their own, the loader's value is one already: what is kept is another copy.
    return value if core.treatment.hand_out is not None else outcome.value


def _lead_behind(core: CacheCore, slot: Slot, flight: Flight, call: Callable[[], Any], terms: Terms) -> None:
    """Run a load in a worker thread; its callers, if any, learn the outcome from the flight."""
    try:
        _lead(core, slot, flight, call, terms)
    except BaseException as error:  # noqa: BLE001  # the flight carries it to whoever waits
        logger.debug("a background load in table %d failed: %r", slot.index, error, extra={"cache": core.title})


def start_behind(core: CacheCore, slot: Slot, flight: Flight, call: Callable[[], Any], terms: Terms) -> None:
    """Run a load in a worker thread; where none can be started, whoever waits for the load learns why."""
    try:
        workers.submit(lambda: _lead_behind(core, slot, flight, call, terms))
    except RuntimeError as reason:
        core.abandon(flight, reason)
        logger.warning(
            "no thread for a load of %s: %s", slot.identifier(flight.key), reason, extra={"cache": core.title}
        )
    except BaseException as reason:
        core.abandon(flight, reason)
        raise


def wait_for(core: CacheCore, slot: Slot, flight: Flight, waiter: locks.Waiter) -> bool:
    """Wait, in a thread, until a flight has ended.

    Returns:
        Whether it has; False when its event loop was lost and the caller should load by itself.
    """
    limit = core.options.load_timeout
    left = None if limit is None else max(0.0, flight.born + limit - core.now())
    try:
        while True:
            pause = left
            if flight.loop is not None:
                pause = LOOK_AGAIN_SECONDS if left is None else min(LOOK_AGAIN_SECONDS, left)
            if waiter.wait(pause):
                return True
            if left is not None:
                left -= pause or 0.0
                if left <= 0:
                    assert limit is not None  # noqa: S101  # left is None without a limit
                    core.fail(slot, flight, LoadTimeoutError(slot.identifier(flight.key), limit))
                    return True
            if flight.lost() and flight.outcome is None:
                return False
    finally:
        leave(core, flight)
