"""acquire_until: waits for a lock with a deadline, in a way that Ctrl-C can interrupt."""

from __future__ import annotations

import sys
import threading
import time
from typing import Protocol

MAIN_THREAD_WAIT_S = 0.25
"""Longest time for which the main thread sleeps at once. A signal that comes just before it falls
asleep does not wake it; its handler runs after this time at the latest. Shorter under a fake clock,
as the next one: see `testing.fake_clock`."""

LONGEST_WAIT_S = 3600.0
"""Longest time for which another thread sleeps at once: less than a lock accepts."""


class Lock(Protocol):
    def acquire(self, *, timeout: float) -> bool: ...


def acquire_until(lock: Lock, deadline: float) -> bool:
    """Acquire `lock`; False at `deadline` (monotonic seconds), or if no thread can release it: the
    main thread is the only one that runs while Python ends, as in destructors of globals.

    Not compiled: a test finds the frame in which the main thread waits.
    """
    wait_s = MAIN_THREAD_WAIT_S
    while True:
        left_s = deadline - time.monotonic()
        if lock.acquire(timeout=max(0.0, min(left_s, wait_s))):
            return True
        if left_s <= wait_s and time.monotonic() >= deadline:
            return False
        if threading.current_thread() is not threading.main_thread():
            wait_s = LONGEST_WAIT_S
        elif sys.is_finalizing():
            return False
