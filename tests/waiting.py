"""Waiting for what other threads, processes or servers bring about: nothing of theirs can be awaited here."""

import time


def came_about(condition, seconds=30.0):
    """Ask again and again whether something has come about; return whether it has in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def wait_until(condition, seconds=30.0):
    """Return once something has come about."""
    assert came_about(condition, seconds), "it did not come about"
