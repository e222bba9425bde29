"""VirtualClock: runs functions in the order of their times, without waiting."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

Event = tuple[float, int, Callable[[Any], object], Any]


class VirtualClock:
    """For one thread."""

    __slots__ = ("_count", "_events", "now")

    now: float
    """Seconds since the start."""

    def __init__(self) -> None:
        self.now = 0.0
        self._count = 0
        self._events: list[Event] = []

    def at(self, when: float, function: Callable[[Any], object], argument: Any = None) -> None:
        """Have `function(argument)` called at `when`; of functions at one time, in this order."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, function, argument))

    def after(
        self, delay_s: float, function: Callable[[Any], object], argument: Any = None
    ) -> None:
        """Have `function(argument)` called in `delay_s` seconds."""
        self.at(self.now + delay_s, function, argument)

    def run(self, until: float) -> None:
        """Call all functions that are due, also those that others ask for, up to this time."""
        events, pop = self._events, heapq.heappop
        while events and events[0][0] <= until:
            self.now, _, function, argument = pop(events)
            function(argument)
        self.now = until
