"""PollerRole: which thread runs the turns of a dispatcher, its own thread or a waiting caller.

Waking a thread costs more than the work of a call. So a caller that blocks for a response, while no
other thread needs the dispatcher, acquires the poller role and runs turns itself until the response
has come (the pattern "leader/followers"). While such callers come and go, the dispatcher's own
thread waits. It acquires the role again when a caller releases it while others wait, when there is
background work (events are expected that no caller waits for), or when no caller has polled for
LONGEST_DELAY_S. It releases the role when during TURNS_ALONE turns no two callers have waited at
the same time: with more callers it costs less to have one thread that reads for all.

One thread at a time has the role. A caller registers as waiting and then tries to acquire the role;
a thread that releases the role looks afterwards for waiting callers ("store, then load", see
base.atomic).

ChainedWakeups: a turn that brings responses for many blocked callers could wake them all. Each
would start to run on some core, find that the turn, or another caller, has the GIL, and sleep a
second time, on the GIL: two switches and four system calls more for each call. So the callers to be
woken are put into a chain. The end of the turn, just before the polling thread sleeps and releases
the GIL, wakes the first; each caller wakes the next one as soon as it runs, before it returns.

Callers that come back at once do better still if each wakes the next one only then: see Relay.

No caller may be forgotten in the chain. A caller that was woken, or gives up, first sets `is_gone`
and then wakes the next one; a thread that wakes a caller which is gone wakes the next one too
("store, then load" again). Only the thread that runs a turn puts callers into the chain, and the
end of that turn looks at the chain.
"""

from __future__ import annotations

import threading
from collections import deque
from threading import get_ident
from typing import Protocol

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.flags import WakeSignal
from pybrpc.transport.dispatch.relay import Relay

LONGEST_DELAY_S = 0.01
"""While a caller polls, events that no caller waits for may be handled this much later."""

TURNS_ALONE = 16
"""After this many turns in which no two callers waited at the same time, the dispatcher's own
thread releases the role."""

MOST_LOST_LOOKS = 25
"""After so many waits of LONGEST_DELAY_S in a row, a role that nobody uses is lost."""

NO_THREAD = -1
"""An identifier that no thread has."""


class BlockedCaller(Protocol):
    """A thread in ChainedWakeups."""

    is_gone: bool
    """Whether the thread no longer sleeps, or will find, before it sleeps, that it need not."""

    def wake(self) -> None:
        """Wake the thread. Called once, by any thread."""


class ChainedWakeups:
    """Callers to be woken, because the event that they wait for has come. Oldest first."""

    __slots__ = ("_callers",)

    def __init__(self) -> None:
        self._callers: deque[BlockedCaller] = deque()

    def add(self, caller: BlockedCaller) -> None:
        """Have `caller` woken. In a turn, by the thread that runs it."""
        self._callers.append(caller)

    def wake_next(self) -> None:
        """Wake the next caller that is not gone. Any thread. Never blocks."""
        callers = self._callers
        while callers:
            try:
                caller = callers.popleft()
            except IndexError:
                return
            caller.wake()
            if not caller.is_gone:
                return

    def take_signal(self) -> WakeSignal | None:
        """The signal of the next caller that is not gone, to be set by the calling thread; `None`
        if nothing is to be set."""
        callers = self._callers
        while callers:
            try:
                caller = callers.popleft()
            except IndexError:
                return None
            if caller.is_gone:
                continue
            if isinstance(caller, Waiter):
                waiter = caller
                return waiter._signal  # `None`: it has not slept yet, and will not
            caller.wake()
            return None
        return None

    def __len__(self) -> int:
        return len(self._callers)


class Waiter:
    """A thread that blocks until its call, or another event, is over. A BlockedCaller."""

    __slots__ = ("_role", "_signal", "is_gone", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.is_gone = False
        self._role: PollerRole | None = None
        self._signal: WakeSignal | None = None
        """Made by the first sleep: a caller that polls until the end needs none."""

    def end(self) -> None:
        """Set `is_over`. Once, any thread; in a turn, ChainedWakeups wakes the thread."""
        self.is_over = True
        role = self._role
        if role is not None and role.polling_thread == get_ident():
            role.chain.add(self)
        else:
            self.wake()

    def wake(self) -> None:
        signal = self._signal
        if signal is not None:
            signal.set()

    def sleep(self, deadline: float) -> bool:
        """Block until `is_over`; False if `deadline` came first."""
        signal = self._signal
        if signal is None:
            signal = self._signal = WakeSignal()
        # Check `is_over` after storing the signal: `end` sets the flag first, then looks for the
        # signal.
        if self.is_over:
            return True
        role = self._role
        if role is None:
            return signal.wait_until(deadline)
        other = role.chain.take_signal() if role.relay.is_open else None
        return signal.set_other_and_wait(other, deadline)


class PollerRole:
    """The role, the callers that wait, and the wait of the dispatcher's own thread."""

    __slots__ = (
        "_background_work",
        "_is_own_thread_waiting",
        "_lock",
        "_lost_looks",
        "_lost_turns",
        "_most_waiters",
        "_own_thread_signal",
        "_turns",
        "_waiters",
        "chain",
        "polling_thread",
        "relay",
    )

    def __init__(self) -> None:
        self.polling_thread = NO_THREAD
        """The identifier of the thread that runs turns now."""
        self.chain = ChainedWakeups()
        """Callers to be woken."""
        self.relay = Relay()
        self._lock = threading.Lock()
        """Held by the thread that has the role."""
        self._waiters: dict[Waiter, None] = {}
        self._background_work = atomic_counter()
        self._turns = 0
        self._most_waiters = 0
        self._is_own_thread_waiting = False
        self._lost_looks = 0
        self._lost_turns = -1
        self._own_thread_signal = WakeSignal()

    # --- any thread ---

    def has_background_work(self) -> bool:
        """Whether events are expected that no caller waits for: callers must not poll."""
        return self._background_work.get() > 0

    def require_polling(self) -> bool:
        """Count one more piece of background work. True if it is the only one."""
        return self._background_work.increment_and_get(1) == 1

    def release_polling(self) -> None:
        self._background_work.decrement_and_get(1)

    def has_waiters(self) -> bool:
        """Whether a caller waits that is not over yet."""
        # Copied in one step, as other threads add and remove themselves.
        for waiter in list(self._waiters):  # noqa: SIM110 - compiled, it can't have a generator
            if not waiter.is_over:
                return True
        return False

    def is_vacant(self) -> bool:
        """Whether no thread has the role while the dispatcher's own thread waits."""
        return self._is_own_thread_waiting and not self._lock.locked()

    def acquire(self) -> bool:
        """Take the role if no thread has it. Never blocks."""
        if not self._lock.acquire(False):
            return False
        self.polling_thread = get_ident()
        return True

    def release(self) -> None:
        self.pause()
        self._lock.release()

    def pause(self) -> None:
        """Keep the role, but run no turn for now."""
        self.polling_thread = NO_THREAD
        self.chain.wake_next()

    def resume(self) -> None:
        """Run turns in the calling thread from now on. The role was paused."""
        self.polling_thread = get_ident()

    def wake_callers(self, may_relay: bool) -> None:
        """At the end of a turn: wake the first caller of the chain. If they relay, `wait_for_relay`
        follows."""
        self.relay.begin(len(self.chain) if may_relay and not self.has_background_work() else 0)
        self.chain.wake_next()

    def wait_for_relay(self) -> None:
        """Block while callers relay; afterwards each wakes the next one at once."""
        self.relay.wait(self.chain)
        self.chain.wake_next()

    def register(self, waiter: Waiter) -> None:
        self._waiters[waiter] = None
        waiter.is_gone = False
        waiter._role = self

    def forget(self, waiter: Waiter) -> None:
        self._waiters.pop(waiter, None)
        waiter.is_gone = True
        if not self.relay.is_open:
            self.chain.wake_next()
        elif len(self.chain) == 0:
            self.relay.end()

    def wake_own_thread(self) -> None:
        """End the wait of the dispatcher's own thread, or its next one. Never blocks."""
        self._own_thread_signal.set()

    # --- the dispatcher's own thread ---

    def acquire_blocking(self) -> None:
        """Wait until no other thread has the role, and take it."""
        self._lock.acquire()
        self.polling_thread = get_ident()

    def release_if_lost(self, turns: int) -> None:
        """After each wait: release the role if nobody has it who could.

        That is so if a thread was interrupted while it took the role or released it: it is locked,
        no thread runs turns, and their number `turns` stays the same.
        """
        if not self._lock.locked() or self.polling_thread != NO_THREAD or turns != self._lost_turns:
            self._lost_looks = 0
            self._lost_turns = turns
            return
        self._lost_looks += 1
        if self._lost_looks >= MOST_LOST_LOOKS:
            self._lost_looks = 0
            self._lock.release()

    def should_give_way(self) -> bool:
        """After each turn: whether a caller may as well poll for itself."""
        self._most_waiters = max(self._most_waiters, len(self._waiters))
        self._turns += 1
        if self._turns < TURNS_ALONE:
            return False
        most, self._turns, self._most_waiters = self._most_waiters, 0, 0
        return most == 1 and not self.has_background_work() and not self.has_waiters()

    def wait_until_needed(self, has_posts: bool) -> None:
        """Block until woken, for LONGEST_DELAY_S at most.

        Returns at once if there is work (functions were posted, background work, waiting callers)
        and no thread has the role.
        """
        self._is_own_thread_waiting = True
        is_needed = has_posts or self.has_background_work() or self.has_waiters()
        if not is_needed or self._lock.locked():
            self._own_thread_signal.wait(LONGEST_DELAY_S)
        self._is_own_thread_waiting = False
