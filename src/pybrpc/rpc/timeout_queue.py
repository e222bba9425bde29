"""TimeoutQueue: one deadline queue per distinct timeout instead of a heap entry per call.

Calls with the same timeout expire in the order in which they started, so a queue needs no sorting:
a dict keeps the order and forgets an ended call at once. One timer per queue waits for its oldest
call; under steady traffic it fires once per timeout, not once per call.

Callers who pass on what is left of a deadline of their own never use a timeout twice. So timeouts
share a queue if they are alike to 1 ms below a second, to 10 ms below ten, else to 100 ms. A call
expires late by no more than that, and only behind one with a longer timeout that began before it.
"""

from __future__ import annotations

import time
from typing import Protocol

from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher

GRAIN_S = 0.001
"""Calls whose deadlines are closer together than this are expired in one go."""


class Expiring(Protocol):
    """A call that has a deadline."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed; called once, in a turn of the dispatcher."""


class HasDispatcher(Protocol):
    """Who says, when it is needed, what drives a thing."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher of now."""


class TimeoutQueue:
    """Calls whose timeouts are alike. Thread-safe, without a lock."""

    __slots__ = ("_calls", "_dispatcher", "_is_armed", "_key", "_owner", "timeout_s")

    def __init__(self, owner: TimeoutQueues, key: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        """One of those that it is for."""
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
            self._dispatcher.call_at(deadline, self._fire)
        except DispatcherClosedError:
            self._is_armed = False

    def _fire(self) -> None:
        now = time.monotonic()
        for call in self._due(now):
            if self._calls.pop(call, call) is None:
                call.expire()
        oldest = self._oldest()
        if oldest is None:
            self._is_armed = False
            # Looked at again: a thread may have added a call while it still saw the queue armed.
            oldest = self._oldest()
            if oldest is None:
                self._owner.forget(self._key, self)
            if oldest is None or self._is_armed:
                return
            self._is_armed = True
        self._arm(max(oldest.deadline, now + GRAIN_S))

    def _due(self, now: float) -> list[Expiring]:
        """All in one pass: to look for the first of a dict again and again is quadratic."""
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
    """The TimeoutQueues of one dispatcher, by timeout in ms, cut to the grid of timeouts alike.

    The dispatcher is given, or that of `maker` when it is first needed.
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
        """What drives the timers."""
        dispatcher = self._dispatcher
        if dispatcher is None:
            assert self._maker is not None
            dispatcher = self._dispatcher = self._maker.dispatcher
        return dispatcher

    def of(self, timeout_s: float) -> TimeoutQueue:
        """The queue of a timeout in seconds."""
        last = self._last
        if last is not None and last.timeout_s == timeout_s:
            return last
        key = _alike(timeout_s)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues.setdefault(key, TimeoutQueue(self, key, timeout_s))
        self._last = queue
        return queue

    def forget(self, key: int, queue: TimeoutQueue) -> None:
        """Drop an empty queue; a call that is just being added to it still expires."""
        if self._queues.get(key) is queue:
            self._queues.pop(key, None)
        if self._last is queue:
            self._last = None

    def __len__(self) -> int:
        return len(self._queues)


def _alike(timeout_s: float) -> int:
    if timeout_s < 1:
        return int(timeout_s * 1000)
    if timeout_s < 10:
        return int(timeout_s * 100) * 10
    return int(timeout_s * 10) * 100
