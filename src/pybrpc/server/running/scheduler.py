"""Scheduler: gives out the calls that wait, the connections in turn.

Each connection has a CallQueue. Those that are not empty are *listed*: they are in `_ready`, from
which a thread takes the first one. It takes one call from it, and puts the queue back: in front
while the turn of its connection lasts, else at the end. So one connection that has sent thousands
of requests delays the others by one turn. A turn is short, but long enough for a hundred fast
calls: their responses are written together.

No lock is needed. Only the thread that has taken a queue out of `_ready` puts it back, or, if it is
empty, clears its `is_listed` and then looks again whether it is empty. A thread that adds calls
does so first, and then tries to set `is_listed` ("store, then load", see base.atomic). Each call
leaves its queue by one `popleft`, so exactly one thread gets it: one that runs it, or one that
removes the calls of a connection that has failed.

While a thread is between these steps another one may find nothing ready. It may go to sleep then:
the first thread comes back for more.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from pybrpc.base.atomic import atomic_counter
from pybrpc.server.calls.call_queue import CallQueue

TURN_S = 0.0005
"""Seconds that the calls of one connection may take before it is the turn of the next one."""

UNKNOWN_S = 0.0001
"""Seconds that a call is expected to take of which nothing is known yet."""

_LEAST_S = 0.000002


class Scheduler:
    """The calls that wait for one kind of place to run, by connection. Any thread, never blocks."""

    __slots__ = ("_ready", "_waiting")

    def __init__(self) -> None:
        self._ready: deque[CallQueue] = deque()
        self._waiting = atomic_counter()

    def put(self, queue: CallQueue, calls: list[Any]) -> None:
        """Add `calls`, which are all of the connection of `queue`."""
        queue.calls.extend(calls)
        self._waiting.increment_and_get(len(calls))
        if queue.is_listed.try_set():
            queue.left_s = TURN_S
            self._ready.append(queue)

    def put_back(self, queue: CallQueue, call: Any) -> None:
        """Add a call that was taken and has not begun. It is the next one of its connection."""
        queue.calls.appendleft(call)
        self._waiting.increment_and_get(1)
        if queue.is_listed.try_set():
            queue.left_s = TURN_S
            self._ready.appendleft(queue)

    def take(self) -> Any:
        """Take the call whose turn it is; `None` if there is none."""
        ready = self._ready
        while ready:
            try:
                queue = ready.popleft()
            except IndexError:  # Another thread has just taken it.
                return None
            calls = queue.calls
            try:
                call = calls.popleft()
            except IndexError:  # Its calls were removed.
                self._unlist(queue)
                continue
            self._waiting.decrement_and_get(1)
            if not calls:
                self._unlist(queue)
            elif ready and self._ends_turn(queue, call):
                ready.append(queue)
            else:
                ready.appendleft(queue)
            return call
        return None

    def remove(self, queue: CallQueue, most: int) -> list[Any]:
        """Take up to `most` calls of one connection, which won't run."""
        removed: list[Any] = []
        calls = queue.calls
        while calls and len(removed) < most:
            try:
                removed.append(calls.popleft())
            except IndexError:
                break
        self._waiting.decrement_and_get(len(removed))
        if not calls:
            self._forget(queue)
        return removed

    def take_expired(self, now: float, most: int) -> list[Any]:
        """Take up to `most` calls that have expired while they waited, where they are the next ones
        of their connections."""
        expired: list[Any] = []
        for queue in self._ready.copy():
            while len(expired) < most:
                call = self._take_if_expired(queue, now)
                if call is None:
                    break
                expired.append(call)
        return expired

    def _take_if_expired(self, queue: CallQueue, now: float) -> Any:
        calls = queue.calls
        try:
            if not calls[0].has_expired(now):
                return None
            call = calls.popleft()
        except IndexError:
            return None
        self._waiting.decrement_and_get(1)
        if call.has_expired(now):
            return call
        # Another thread has taken the one that was looked at.
        self.put_back(queue, call)
        return None

    def is_empty(self) -> bool:
        """Whether there is nothing to take just now."""
        return not self._ready

    def waiting(self) -> int:
        """Number of calls that wait."""
        return self._waiting.get()

    def _ends_turn(self, queue: CallQueue, call: Any) -> bool:
        """Whether the turn of a connection is over once `call` has run."""
        queue.left_s -= (call.entry.mean_s or UNKNOWN_S) + _LEAST_S
        if queue.left_s > 0:
            return False
        queue.left_s = TURN_S
        return True

    def _unlist(self, queue: CallQueue) -> None:
        """Leave out a queue that was found empty, unless it is not any more."""
        queue.is_listed.clear()
        if queue.calls and queue.is_listed.try_set():
            queue.left_s = TURN_S
            self._ready.append(queue)

    def _forget(self, queue: CallQueue) -> None:
        """Refer no more to the empty queue of a connection that has failed."""
        try:
            self._ready.remove(queue)
        except (ValueError, IndexError):  # A thread has it just now, and finds it empty.
            return
        self._unlist(queue)

    def __repr__(self) -> str:
        return f"<Scheduler of {self.waiting()} calls, {len(self._ready)} connections>"
