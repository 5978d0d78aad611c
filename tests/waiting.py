"""Waiting for what other threads, processes or servers bring about: nothing of theirs can be awaited here."""

import time


def wait_until(condition, seconds=30.0):
    """Ask again and again until something has come about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.001)
