"""StopLatch: set once; threads and tasks wait for it."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from pybrpc.base.deadline import NEVER
from pybrpc.base.waiting import block_until_woken, until_woken


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
        """Block until it is set or `deadline`, in monotonic seconds; say whether it is set."""
        block_until_woken(self._add, self._discard, deadline)
        return self.is_set

    async def wait_async(self) -> None:
        """Wait in any asyncio loop until it is set."""
        await until_woken(self._add, self._discard)

    def _add(self, wake: Callable[[], None]) -> None:
        self._waiters.append(wake)
        if self.is_set:
            self.set()

    def _discard(self, wake: Callable[[], None]) -> None:
        with contextlib.suppress(ValueError):
            self._waiters.remove(wake)
