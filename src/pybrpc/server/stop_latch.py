"""StopLatch: set once; threads and tasks wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from pybrpc.base.deadline import NEVER

NAP_S = 0.25


class StopLatch:
    """Like `threading.Event`, but `set` takes no lock, so a signal handler may call it, and tasks
    of any asyncio loop may wait too."""

    __slots__ = ("_waiters", "is_set")

    def __init__(self) -> None:
        self._waiters: deque[Callable[[], None]] = deque()
        self.is_set = False

    def set(self) -> None:
        """Wake everybody, now and later. Any thread, never blocks."""
        self.is_set = True
        while self._waiters:
            with contextlib.suppress(IndexError):
                self._waiters.popleft()()

    def wait(self, deadline: float = NEVER) -> bool:
        """Block until it is set or `deadline`, in monotonic seconds; say whether it is set.

        A signal that comes just before the main thread falls asleep does not wake it, so it wakes
        by itself now and then, and Python runs the signal's handler then.
        """
        turnstile = threading.Lock()
        turnstile.acquire()
        self._add(turnstile.release)
        while not turnstile.acquire(timeout=_nap_s(deadline)):
            if time.monotonic() >= deadline:
                break
        self._discard(turnstile.release)
        return self.is_set

    async def wait_async(self) -> None:
        """Wait in any asyncio loop until it is set."""
        loop = asyncio.get_running_loop()
        is_set: asyncio.Future[None] = loop.create_future()

        def set_result() -> None:
            if not is_set.done():
                is_set.set_result(None)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(set_result)

        self._add(wake)
        try:
            await is_set
        finally:
            self._discard(wake)

    def _add(self, wake: Callable[[], None]) -> None:
        self._waiters.append(wake)
        if self.is_set:
            self.set()

    def _discard(self, wake: Callable[[], None]) -> None:
        with contextlib.suppress(ValueError):
            self._waiters.remove(wake)


def _nap_s(deadline: float) -> float:
    return max(0.0, min(NAP_S, deadline - time.monotonic()))
