"""Waiting for an event: WakeList has the functions that wake threads and tasks, StopLatch is one
event.

A thread or task that waits gives the event a function without arguments, which may be called more
than once, from any thread. So all that an event needs is a list of functions, and it need not know
whether a thread waits or a task of some asyncio loop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pybrpc.base.deadline import NEVER
from pybrpc.base.flags import WakeSignal
from pybrpc.base.guard import run_guarded
from pybrpc.base.lazy_modules import asyncio

Wake = Callable[[], None]


class WakeList:
    """Functions to call once the event has come, each once. Any thread; takes no lock.

    A dict, from which any function can be removed at once, however many there are.
    """

    __slots__ = ("_wakes",)

    def __init__(self) -> None:
        self._wakes: dict[Wake, bool] = {}

    def add(self, wake: Wake) -> None:
        """Add a function. Afterwards the caller checks whether the event has come already.

        ("Store, then load", see base.atomic.)
        """
        self._wakes[wake] = True

    def discard(self, wake: Wake) -> None:
        self._wakes.pop(wake, None)

    def wake_all(self) -> None:
        """Call every function, and those that are added meanwhile. What one raises is logged."""
        while self._wakes:
            for wake in list(self._wakes):
                if self._wakes.pop(wake, False):
                    run_guarded(wake, what="a function that wakes a waiter")

    def __len__(self) -> int:
        return len(self._wakes)


def block_until_woken(
    add: Callable[[Wake], None], discard: Callable[[Wake], None], deadline: float
) -> bool:
    """Block the thread until the function given to `add` is called; False at `deadline`."""
    signal = WakeSignal()
    wake = signal.set
    add(wake)
    try:
        return signal.wait_until(deadline)
    finally:
        discard(wake)


async def until_woken(add: Callable[[Wake], None], discard: Callable[[Wake], None]) -> None:
    """Wait in a task until the function given to `add` is called.

    If the loop is closed by then, the call does nothing.
    """
    loop = asyncio.get_running_loop()
    is_woken: asyncio.Future[None] = loop.create_future()

    def set_woken() -> None:
        if not is_woken.done():
            is_woken.set_result(None)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(set_woken)

    add(wake)
    try:
        await is_woken
    finally:
        discard(wake)


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

    def notify(self, wake: Wake) -> None:
        """Call `wake` once it is set: at once if it is, else in the thread that sets it. What it
        raises is logged."""
        self._add(wake)

    def _add(self, wake: Wake) -> None:
        self._waiters.add(wake)
        if self.is_set:
            self._waiters.wake_all()
