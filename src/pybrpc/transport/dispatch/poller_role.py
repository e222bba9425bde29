"""ChainedWakeups: threads whose waiting is over are woken one after the other, not all at once.

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

import contextlib
import threading
from collections import deque
from threading import get_ident
from typing import Protocol

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.waiting import acquire_until


class BlockedCaller(Protocol):
    """A thread in the chain."""

    is_gone: bool
    """Whether it does not sleep any more, or will see so before it does."""

    def wake(self) -> None:
        """Once, any thread."""


class ChainedWakeups:
    """Those whose waiting is over and who have not been woken yet, oldest first."""

    __slots__ = ("_sleepers",)

    def __init__(self) -> None:
        self._sleepers: deque[BlockedCaller] = deque()

    def add(self, sleeper: BlockedCaller) -> None:
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


NAP_S = 0.01
"""What nobody waits for may come so much later while callers drive."""

TURNS_ALONE = 16
"""After so many turns in which no two callers waited at once, the dispatcher's thread gives way."""

NOBODY = -1
"""The number of no thread."""


class Waiter:
    """A thread that blocks until something is over."""

    __slots__ = ("_seat", "_turnstile", "is_gone", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.is_gone = False
        self._seat: PollerRole | None = None
        self._turnstile: threading.Lock | None = None
        """Made by the first sleep: who drives until it is over needs none."""

    def end(self) -> None:
        """It is over. Once, any thread; in a turn the thread is woken by way of the chain."""
        self.is_over = True
        seat = self._seat
        if seat is not None and seat.driver == get_ident():
            seat.chain.add(self)
        else:
            self.wake()

    def wake(self) -> None:
        """As in BlockedCaller."""
        turnstile = self._turnstile
        if turnstile is not None:
            turnstile.release()

    def sleep(self, deadline: float) -> bool:
        """Block until it is over; False if `deadline` came first."""
        turnstile = self._turnstile
        if turnstile is None:
            turnstile = threading.Lock()
            turnstile.acquire()
            self._turnstile = turnstile
        # Looked at after the turnstile stands: who ends it says so and then looks for one.
        return self.is_over or acquire_until(turnstile, deadline)


class PollerRole:
    """The seat, those who wait beside it, and the nap of the dispatcher's own thread."""

    __slots__ = (
        "_attended",
        "_is_napping",
        "_most",
        "_nap",
        "_taken",
        "_turns",
        "_waiters",
        "chain",
        "driver",
    )

    def __init__(self) -> None:
        self.driver = NOBODY
        """The thread that runs turns now."""
        self.chain = ChainedWakeups()
        """Whose waiting is over."""
        self._taken = threading.Lock()
        self._waiters: dict[Waiter, None] = {}
        self._attended = atomic_counter()
        self._turns = 0
        self._most = 0
        self._is_napping = False
        self._nap = threading.Lock()
        self._nap.acquire()

    # --- any thread ---

    def has_background_work(self) -> bool:
        """Whether something may come that no caller waits for: callers must not drive."""
        return self._attended.get() > 0

    @property
    def is_waited_at(self) -> bool:
        """Whether somebody waits whose turn has not come."""
        return bool(self._waiters) and not all(each.is_over for each in list(self._waiters))

    @property
    def is_empty(self) -> bool:
        """Whether nobody drives while the dispatcher's thread naps."""
        return self._is_napping and not self._taken.locked()

    def require_polling(self, amount: int) -> int:
        """Count what is to be attended to; return how much there is."""
        return self._attended.increment_and_get(amount)

    def take(self) -> bool:
        """Sit down, if it is free. Never blocks."""
        if not self._taken.acquire(False):
            return False
        self.driver = get_ident()
        return True

    def leave(self) -> None:
        self.stop_driving()
        self._taken.release()

    def stop_driving(self) -> None:
        """In the seat, but in no turn from now on."""
        self.driver = NOBODY
        self.chain.wake_next()

    def register(self, waiter: Waiter) -> None:
        self._waiters[waiter] = None
        waiter.is_gone = False
        waiter._seat = self

    def forget(self, waiter: Waiter) -> None:
        self._waiters.pop(waiter, None)
        waiter.is_gone = True
        self.chain.wake_next()

    def rouse(self) -> None:
        """End the nap, or the next one."""
        with contextlib.suppress(RuntimeError):  # roused already
            self._nap.release()

    # --- the dispatcher's own thread ---

    def acquire_blocking(self) -> None:
        """Wait until it is free."""
        self._taken.acquire()
        self.driver = get_ident()

    def should_give_way(self) -> bool:
        """After each turn: whether a caller could as well drive itself."""
        self._most = max(self._most, len(self._waiters))
        self._turns += 1
        if self._turns < TURNS_ALONE:
            return False
        most, self._turns, self._most = self._most, 0, 0
        return most == 1 and not self.has_background_work() and not self.is_waited_at

    def nap(self, has_work: bool) -> None:
        """Sleep until roused or for `NAP_S`, unless there is something to do and nobody drives."""
        self._is_napping = True
        is_needed = has_work or self.has_background_work() or self.is_waited_at
        if not is_needed or self._taken.locked():
            self._nap.acquire(timeout=NAP_S)
        self._is_napping = False
