"""Two flags for threads: WakeSignal wakes one waiting thread, OnceFlag has one winner.

Neither ever blocks the thread that sets it. Both may be used by any thread.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.implementation import __impl__
from pybrpc.base.waiting import LONGEST_WAIT_S, acquire_until

IS_COMPILED = __impl__ == "compiled"


class WakeSignal:
    """Wakes the one thread that waits for it.

    A signal that is set before the wait is kept: the next wait returns at once. Signals that are
    set again before a wait count as one.

    Compiled, it has a lock of C Python's own, which a thread can release and acquire without the
    GIL; `_is_set` says, under the GIL, whether the lock is released already.
    """

    __slots__ = ("_handle", "_is_set", "_lock")

    _handle: Any
    _is_set: bool

    def __init__(self) -> None:
        if IS_COMPILED:
            self._is_set = False
            self._handle = make_held_lock()  # type: ignore[name-defined]  # noqa: F821
            return
        self._lock = threading.Lock()
        self._lock.acquire()

    def __dealloc__(self) -> None:
        if IS_COMPILED:
            free_lock(self._handle)  # type: ignore[name-defined]  # noqa: F821

    def set(self) -> None:
        """Wake the waiting thread, or the next one that waits. Never blocks."""
        if IS_COMPILED:
            if not self._is_set:
                self._is_set = True
                release_lock(self._handle)  # type: ignore[name-defined]  # noqa: F821
            return
        try:
            self._lock.release()
        except RuntimeError:
            return  # It was set already, and nobody has waited since.

    def wait(self, timeout_s: float = -1) -> bool:
        """Block until the signal is set; False after `timeout_s` seconds. -1 means no limit."""
        if IS_COMPILED:
            return self._acquire(None, timeout_s)
        return self._lock.acquire(timeout=timeout_s)

    def acquire(self, timeout: float) -> bool:
        """`wait`, as `acquire_until` calls it."""
        return self.wait(timeout)

    def wait_until(self, deadline: float) -> bool:
        """Block until the signal is set; False at `deadline` (monotonic seconds).

        Ctrl-C works while the main thread waits here.
        """
        if IS_COMPILED:
            return acquire_until(self, deadline)
        return acquire_until(self._lock, deadline)

    def set_other_and_wait(self, other: WakeSignal | None, deadline: float) -> bool:
        """Set `other`, then `wait_until`. Not in the main thread.

        Compiled, without the GIL from before the first to after the second: the thread that is
        woken finds the GIL free, also if it displaces this one from its processor at once.
        """
        if not IS_COMPILED:
            if other is not None:
                other.set()
            return acquire_until(self._lock, deadline)
        left_s = deadline - time.monotonic()
        is_set = self._acquire(other, max(0.0, min(left_s, LONGEST_WAIT_S)))
        while not is_set and (left_s := deadline - time.monotonic()) > 0:
            is_set = self._acquire(None, min(left_s, LONGEST_WAIT_S))
        return is_set

    def is_set(self) -> bool:
        return self._is_set if IS_COMPILED else not self._lock.locked()

    def _acquire(self, other: WakeSignal | None, timeout_s: float) -> bool:
        """Compiled alone. What a signal handler raises is raised here."""
        if other is not None and not other._is_set:
            other._is_set = True
            is_set = swap_locks(other._handle, self._handle, timeout_s)  # type: ignore[name-defined]  # noqa: F821
        else:
            is_set = acquire_lock(self._handle, timeout_s)  # type: ignore[name-defined]  # noqa: F821
        if is_set:
            self._is_set = False
        return bool(is_set)

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
