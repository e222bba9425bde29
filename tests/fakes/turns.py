"""FakeTurns: the turns of a router on a virtual clock."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable


class FakeTurns:
    """Functions that are posted run at once; timers when the clock is moved."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.now_s

    def post(self, function: Callable[[], None]) -> None:
        function()

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._numbers), function))

    @property
    def timers(self) -> int:
        """How many there are."""
        return len(self._timers)

    def pass_s(self, seconds: float) -> None:
        """Move the clock, and run what is due meanwhile, each at its time."""
        end_s = self.now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            self.now_s, _, function = heapq.heappop(self._timers)
            function()
        self.now_s = end_s


class SteppedTurns(FakeTurns):
    """Functions that are posted run one after the other, when the test says so."""

    def __init__(self, now_s: float = 1000.0) -> None:
        super().__init__(now_s)
        self._posted: deque[Callable[[], None]] = deque()

    def post(self, function: Callable[[], None]) -> None:
        self._posted.append(function)

    def run_one(self) -> bool:
        """The function that was posted first. False if there is none."""
        if not self._posted:
            return False
        self._posted.popleft()()
        return True

    def run_all(self) -> None:
        while self.run_one():
            pass
