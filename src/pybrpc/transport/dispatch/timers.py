"""TimerHeap: the timers of a dispatcher, the earliest first."""

from __future__ import annotations

import heapq
import itertools
from time import monotonic

from pybrpc.transport.dispatch.event_dispatcher import Continuation

_sequence = itertools.count()


class Timer:
    """A function that runs at its deadline unless it was cancelled. See TimerHandle."""

    __slots__ = ("deadline", "function", "sequence")

    def __init__(self, deadline: float, function: Continuation) -> None:
        self.deadline = deadline
        self.function: Continuation | None = function
        self.sequence = next(_sequence)

    def cancel(self) -> None:
        self.function = None

    def __lt__(self, other: Timer) -> bool:
        return (self.deadline, self.sequence) < (other.deadline, other.sequence)


class TimerHeap:
    """Timers by deadline; those with the same deadline in the order in which they were made.

    Used only in turns. Cancelled timers stay until they come first.
    """

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[Timer] = []

    def add(self, timer: Timer) -> None:
        heapq.heappush(self._heap, timer)

    def seconds_to_next(self, longest_s: float) -> float:
        """Seconds until the next timer is due, between 0 and `longest_s`."""
        heap = self._heap
        while heap:
            first = heap[0]
            if first.function is not None:
                return min(max(0.0, first.deadline - monotonic()), longest_s)
            heapq.heappop(heap)
        return longest_s

    def pop_due(self, now: float) -> Continuation | None:
        """Remove the next timer that is due at `now` and return its function. None if none is."""
        heap = self._heap
        while heap:
            first = heap[0]
            if first.deadline > now:
                return None
            heapq.heappop(heap)
            if first.function is not None:
                return first.function
        return None

    def __len__(self) -> int:
        return len(self._heap)
