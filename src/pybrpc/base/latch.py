"""StopLatch: set once; threads and tasks wait for it."""

from __future__ import annotations

from pybrpc.base.deadline import NEVER
from pybrpc.base.wake_list import Wake, WakeList, block_until_woken, until_woken


class StopLatch:
    """Like `threading.Event`, but `set` takes no lock, so a signal handler may call it, and tasks
    of any asyncio loop may wait too."""

    __slots__ = ("_waiters", "is_set")

    def __init__(self) -> None:
        self._waiters = WakeList()
        self.is_set = False

    def set(self) -> None:
        """End all waiting, now and later. Any thread, never blocks."""
        self.is_set = True
        self._waiters.wake_all()

    def wait(self, deadline: float = NEVER) -> bool:
        """Block until it is set; False at `deadline` (monotonic seconds)."""
        block_until_woken(self._add, self._waiters.discard, deadline)
        return self.is_set

    async def wait_async(self) -> None:
        """Wait in any asyncio loop until it is set."""
        await until_woken(self._add, self._waiters.discard)

    def _add(self, wake: Wake) -> None:
        self._waiters.add(wake)
        if self.is_set:
            self._waiters.wake_all()
