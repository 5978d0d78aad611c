"""What wakes the thread that looks at the caches of a manager."""

import math

from tests.core.strict.interleaving import ended, in_thread
from tests.waiting import wait_until

from cenote.watching import Watch

HOUR = 3600.0


def test_a_thread_that_waits_is_woken_only_for_what_is_due_before_it_would_look():
    watch = Watch()
    thread = in_thread(lambda: watch.wait(HOUR))
    wait_until(lambda: watch._until < math.inf)
    watch.look_within(2 * HOUR)
    assert not watch._event.is_set()
    watch.look_within(1.0)
    assert ended(thread)


def test_what_comes_while_the_thread_looks_is_looked_at_before_it_waits_again():
    watch = Watch()
    watch.look_within(2 * HOUR)
    assert ended(in_thread(lambda: watch.wait(HOUR)))
    thread = in_thread(lambda: watch.wait(HOUR))
    wait_until(lambda: watch._until < math.inf)
    assert thread.is_alive()
    watch.end()
    assert ended(thread)
