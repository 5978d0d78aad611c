"""What wakes the thread that looks at the caches of a manager."""

import math
import threading

from tests.waiting import wait_until

from cenote.watching import Watch

HOUR = 3600.0


def waiting(watch):
    thread = threading.Thread(target=watch.wait, args=[HOUR], daemon=True)
    thread.start()
    return thread


def ends(thread):
    thread.join(30)
    return not thread.is_alive()


def test_a_thread_that_waits_is_woken_only_for_what_is_due_before_it_would_look():
    watch = Watch()
    thread = waiting(watch)
    wait_until(lambda: watch._until < math.inf)
    watch.look_within(2 * HOUR)
    assert not watch._event.is_set()
    watch.look_within(1.0)
    assert ends(thread)


def test_what_comes_while_the_thread_looks_is_looked_at_before_it_waits_again():
    watch = Watch()
    watch.look_within(2 * HOUR)
    assert ends(waiting(watch))
    thread = waiting(watch)
    wait_until(lambda: watch._until < math.inf)
    assert thread.is_alive()
    watch.end()
    assert ends(thread)
