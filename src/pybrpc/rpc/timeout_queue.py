"""TimeoutQueue: one deadline queue per distinct timeout instead of a heap entry per call.

Calls with the same timeout expire in the order in which they started, so a queue needs no sorting:
a dict keeps the order, and an ended call is removed at once. One timer per queue waits for its
oldest call; under steady traffic it fires once per timeout, not once per call.

A caller that passes on the rest of its own deadline uses a new timeout for each call. So timeouts
share a queue if they differ by less than a step: 1 ms below one second, 10 ms below ten seconds,
else 100 ms. A call expires late by one step at most, and only behind a call with a longer timeout
that began before it.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from pybrpc.rpc.bounded_steps import BoundedSteps
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher

GRAIN_S = 0.001
"""Calls with deadlines closer together than this, in seconds, expire in one call of the timer."""

GRACE_S = 1.0
"""Seconds after its deadline for which a call may still be owned by another thread."""


MAX_DUE = 4096
"""Calls that are looked for in one pass over a queue."""


class Expiring(Protocol):
    """A call that has a deadline."""

    deadline: float

    def expire(self) -> bool:
        """The deadline has passed; called once, in a turn of the dispatcher.

        False if the call is still to end, because another thread owns it just now. Then, unless it
        is discarded within `GRACE_S`, `give_up` is called.
        """

    def give_up(self) -> None:
        """The thread that owns the call has lost it: end the call. Called once, in a turn."""


class HasDispatcher(Protocol):
    """An object that knows its dispatcher, perhaps only once it is asked."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher in use. After a fork it is another one."""


class TimeoutQueue:
    """Calls whose timeouts share a queue. Thread-safe, without a lock.

    A call is in it until it ends: the thread that discards it may end it, no other one. It is in
    `_calls` until its deadline, and in `_late` after that. It moves by being added there before it
    is removed here, and `discard` looks here first. So exactly one caller of `discard` finds it.
    """

    __slots__ = ("_calls", "_dispatcher", "_is_armed", "_key", "_late", "_owner", "timeout_s")

    def __init__(self, owner: TimeoutQueues, key: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        """One of the timeouts of this queue."""
        self._owner = owner
        self._dispatcher = owner.dispatcher
        self._key = key
        self._calls: dict[Expiring, Expiring | None] = {}
        self._late: dict[Expiring, float] = {}
        """Calls whose deadline has passed, and when they are to be given up."""
        self._is_armed = False
        """Whether a timer is set, or a step is planned, after which one will be set."""

    def add(self, call: Expiring) -> None:
        self._calls[call] = None
        if not self._is_armed:
            self._is_armed = True
            self._arm(call.deadline)

    def discard(self, call: Expiring) -> bool:
        """Remove a call that ends. True for exactly one caller."""
        if self._calls.pop(call, call) is None:
            return True
        return self._late.pop(call, None) is not None

    def _arm(self, deadline: float) -> None:
        try:
            self._dispatcher.call_at(deadline, self._on_timer)
        except DispatcherClosedError:
            self._is_armed = False
        except BaseException:
            # No thread could be started, for example: the next call that is added tries again.
            self._is_armed = False
            raise

    def _on_timer(self) -> None:
        BoundedSteps(self._dispatcher, self._find_due, self._end).run()

    def _find_due(self) -> list[Expiring]:
        """The calls that are to expire or to be given up now. If there are none, set the timer."""
        now = time.monotonic()
        due = self._lost(now) if self._late else []
        due += self._due(now)
        if not due:
            self._rearm(now)
        return due

    def _end(self, call: Expiring) -> None:
        """Have a call that was due end, unless it has ended meanwhile."""
        now = time.monotonic()
        late = self._late
        if call in late:
            try:
                call.give_up()
            finally:
                late.pop(call, None)
        elif call.deadline <= now:
            late[call] = now + GRACE_S
            if self._calls.pop(call, call) is not None or call.expire():
                late.pop(call, None)

    def _rearm(self, now: float) -> None:
        deadline = self._next_deadline()
        if deadline is None:
            self._is_armed = False
            # Check again: a thread may have added a call while it still saw the queue armed
            # ("store, then load", see base.atomic).
            deadline = self._next_deadline()
            if deadline is None:
                self._owner.forget(self._key, self)
            if deadline is None or self._is_armed:
                return
            self._is_armed = True
        self._arm(max(deadline, now + GRAIN_S))

    def _next_deadline(self) -> float | None:
        """When the next call is due; `None` if there is none."""
        oldest = self._oldest(self._calls)
        deadline = None if oldest is None else oldest.deadline
        if self._late:
            first = self._oldest(self._late)
            lost_at = None if first is None else self._late.get(first)
            if lost_at is not None and (deadline is None or lost_at < deadline):
                return lost_at
        return deadline

    def _due(self, now: float) -> list[Expiring]:
        """Calls whose deadline has passed, oldest first, `MAX_DUE` at most.

        Found in few passes: to remove the first entry of a dict again and again is quadratic. And
        a pass is short, because it begins anew when another thread changes the dict.
        """
        while True:
            due: list[Expiring] = []
            try:
                for call in self._calls:
                    if call.deadline > now or len(due) >= MAX_DUE:
                        break
                    due.append(call)
            except RuntimeError:
                continue  # another thread added or removed a call
            return due

    def _lost(self, now: float) -> list[Expiring]:
        """Calls that were to end by now, oldest first."""
        lost: list[Expiring] = []
        for call in list(self._late):
            if self._late.get(call, now) > now:
                break
            lost.append(call)
        return lost

    def _oldest(self, calls: dict[Expiring, Any]) -> Expiring | None:
        while True:
            try:
                return next(iter(calls), None)
            except RuntimeError:
                continue  # another thread added or removed a call between the two steps

    def __len__(self) -> int:
        return len(self._calls) + len(self._late)


class TimeoutQueues:
    """The TimeoutQueues of one dispatcher, one for each step of timeouts.

    The dispatcher is the given one or, once it is first needed, that of `maker`.
    """

    __slots__ = ("_dispatcher", "_last", "_maker", "_queues")

    def __init__(
        self, dispatcher: EventDispatcher | None, maker: HasDispatcher | None = None
    ) -> None:
        self._dispatcher = dispatcher
        self._maker = maker
        self._queues: dict[int, TimeoutQueue] = {}
        self._last: TimeoutQueue | None = None

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher that runs the timers."""
        dispatcher = self._dispatcher
        if dispatcher is None:
            assert self._maker is not None
            dispatcher = self._dispatcher = self._maker.dispatcher
        return dispatcher

    def of(self, timeout_s: float) -> TimeoutQueue:
        """The queue for a timeout in seconds."""
        last = self._last
        if last is not None and last.timeout_s == timeout_s:
            return last
        key = _key(timeout_s)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues.setdefault(key, TimeoutQueue(self, key, timeout_s))
        self._last = queue
        return queue

    def forget(self, key: int, queue: TimeoutQueue) -> None:
        """Remove an empty queue. A call that is just being added to it still expires."""
        if self._queues.get(key) is queue:
            self._queues.pop(key, None)
        if self._last is queue:
            self._last = None

    def __len__(self) -> int:
        return len(self._queues)


def _key(timeout_s: float) -> int:
    """The timeout in milliseconds, rounded down to its step."""
    if timeout_s < 1:
        return int(timeout_s * 1000)
    if timeout_s < 10:
        return int(timeout_s * 100) * 10
    return int(timeout_s * 10) * 100
