"""Two flags for threads: WakeSignal wakes one waiting thread, OnceFlag has one winner.

Neither ever blocks the thread that sets it. Both may be used by any thread.
"""

from __future__ import annotations

import threading

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.waiting import acquire_until


class WakeSignal:
    """Wakes the one thread that waits for it.

    A signal that is set before the wait is kept: the next wait returns at once. Signals that are
    set again before a wait count as one.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the waiting thread, or the next one that waits. Never blocks."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # It was set already, and nobody has waited since.

    def wait(self, timeout_s: float = -1) -> bool:
        """Block until the signal is set; False after `timeout_s` seconds. -1 means no limit."""
        return self._lock.acquire(timeout=timeout_s)

    def wait_until(self, deadline: float) -> bool:
        """Block until the signal is set; False at `deadline` (monotonic seconds).

        Ctrl-C works while the main thread waits here.
        """
        return acquire_until(self._lock, deadline)

    def is_set(self) -> bool:
        return not self._lock.locked()

    def __repr__(self) -> str:
        return f"<WakeSignal {'set' if self.is_set() else 'not set'}>"


class OnceFlag:
    """A flag that only one of many threads sets."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = atomic_counter()
        """1 if the flag is set, else 0."""

    def try_set(self) -> bool:
        """Set the flag: True for the one caller that has set it. Never blocks."""
        return self._count.compare_and_set(0, 1)

    def clear(self) -> None:
        """Allow one more caller to set the flag. RuntimeError if it was not set."""
        if not self._count.compare_and_set(1, 0):
            raise RuntimeError("the flag is not set")

    def is_set(self) -> bool:
        return self._count.get() != 0

    def __repr__(self) -> str:
        return f"<OnceFlag {'set' if self.is_set() else 'not set'}>"
