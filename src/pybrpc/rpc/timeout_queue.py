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
from typing import Protocol

from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher

GRAIN_S = 0.001
"""Calls with deadlines closer together than this, in seconds, expire in one call of the timer."""


class Expiring(Protocol):
    """A call that has a deadline."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed; called once, in a turn of the dispatcher."""


class HasDispatcher(Protocol):
    """An object that knows its dispatcher, perhaps only once it is asked."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher in use. After a fork it is another one."""


class TimeoutQueue:
    """Calls whose timeouts share a queue. Thread-safe, without a lock."""

    __slots__ = ("_calls", "_dispatcher", "_is_armed", "_key", "_owner", "timeout_s")

    def __init__(self, owner: TimeoutQueues, key: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        """One of the timeouts of this queue."""
        self._owner = owner
        self._dispatcher = owner.dispatcher
        self._key = key
        self._calls: dict[Expiring, Expiring | None] = {}
        self._is_armed = False

    def add(self, call: Expiring) -> None:
        self._calls[call] = None
        if not self._is_armed:
            self._is_armed = True
            self._arm(call.deadline)

    def discard(self, call: Expiring) -> None:
        self._calls.pop(call, None)

    def _arm(self, deadline: float) -> None:
        try:
            self._dispatcher.call_at(deadline, self._on_timer)
        except DispatcherClosedError:
            self._is_armed = False

    def _on_timer(self) -> None:
        now = time.monotonic()
        for call in self._due(now):
            if self._calls.pop(call, call) is None:
                call.expire()
        oldest = self._oldest()
        if oldest is None:
            self._is_armed = False
            # Check again: a thread may have added a call while it still saw the queue armed
            # ("store, then load", see base.atomic).
            oldest = self._oldest()
            if oldest is None:
                self._owner.forget(self._key, self)
            if oldest is None or self._is_armed:
                return
            self._is_armed = True
        self._arm(max(oldest.deadline, now + GRAIN_S))

    def _due(self, now: float) -> list[Expiring]:
        """Calls whose deadline has passed, oldest first.

        Found in one pass: to remove the first entry of a dict again and again is quadratic.
        """
        while True:
            due: list[Expiring] = []
            try:
                for call in self._calls:
                    if call.deadline > now:
                        break
                    due.append(call)
            except RuntimeError:
                continue  # another thread added or removed a call
            return due

    def _oldest(self) -> Expiring | None:
        while True:
            try:
                return next(iter(self._calls), None)
            except RuntimeError:
                continue  # another thread added or removed a call between the two steps

    def __len__(self) -> int:
        return len(self._calls)


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
