"""WakeChain: threads whose waiting is over are woken one after the other, not all at once.

A turn that brings answers for many blocked threads could wake them all. Each would come up on some
core, find that the turn, or another one of them, has the GIL, and sleep a second time, on the GIL:
two switches and four system calls more for each call. So who is to be woken in a turn is put into a
chain. The turn's end, just before the driver sleeps and gives the GIL away, wakes the first; each
wakes the next one as soon as it runs, before it goes back to its caller.

Nobody may be forgotten in the chain. Whoever was woken, or gives up, first says that it is gone and
then wakes the next one; who wakes one that is gone wakes the next one too. One of the two sees the
other. Waiters are put into the chain by the thread that runs a turn alone, and that turn's end
looks at the chain.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Sleeper(Protocol):
    """A thread in the chain."""

    is_gone: bool
    """Whether it does not sleep any more, or will see so before it does."""

    def wake(self) -> None:
        """Once, any thread."""


class WakeChain:
    """Those whose waiting is over and who have not been woken yet, oldest first."""

    __slots__ = ("_sleepers",)

    def __init__(self) -> None:
        self._sleepers: deque[Sleeper] = deque()

    def add(self, sleeper: Sleeper) -> None:
        """Have it woken. In a turn, by the thread that runs it."""
        self._sleepers.append(sleeper)

    def wake_next(self) -> None:
        """Any thread. Never blocks."""
        sleepers = self._sleepers
        while sleepers:
            try:
                sleeper = sleepers.popleft()
            except IndexError:
                return
            sleeper.wake()
            if not sleeper.is_gone:
                return

    def __len__(self) -> int:
        return len(self._sleepers)
