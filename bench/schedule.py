"""Schedule: when each call of a fixed rate is due, and which of them are slow."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from bench.figures import Figures
from bench.work import FixedRate, Window

LATE_S = 0.001
"""A call that is sent so long after it was due counts as late."""
PATIENCE = 3.0
"""A client that needs so many times as long as the schedule can't keep up, and gives up."""


class CannotKeepUpError(RuntimeError):
    """The calls were not done when they long should have been."""


class Schedule:
    """Says when to send call 0, 1, 2 ...; collects how long after that moment its answer came.

    The latency of a call counts from when it was due, not from when it was sent: what kept the
    client from sending it in time would keep a user waiting as well. Slow calls, and those of the
    warm-up, are not in the figures. Threads may share it.
    """

    def __init__(
        self,
        rate: FixedRate,
        window: Window,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.first = math.ceil(window.warm_up_s * rate.per_s)
        """The first call that counts."""
        self.length = self.first + max(1, round(window.measure_s * rate.per_s))
        draw = random.Random(1).random
        self._sleeps_us = [
            rate.slow_us if draw() < rate.slow_share else 0 for _ in range(self.length)
        ]
        self._per_s = rate.per_s
        self._clock = clock
        self._start_s = clock()
        self._latencies_s: list[float] = []
        self._late = 0
        self._give_up_s = PATIENCE * self.length / rate.per_s + 1.0

    def start(self) -> None:
        """Call 0 is due now."""
        self._start_s = self._clock()

    def due_in_s(self, index: int) -> float:
        """How long until that call is due; negative if it is late.

        CannotKeepUpError: so late that there is no point in going on.
        """
        passed_s = self._clock() - self._start_s
        if passed_s > self._give_up_s:
            raise CannotKeepUpError(f"can't keep up with {self._per_s} calls a second")
        return index / self._per_s - passed_s

    def sleep_us(self, index: int) -> int:
        """How long that call asks the server to sleep."""
        return self._sleeps_us[index]

    def note_sent(self, index: int) -> None:
        if index >= self.first and self.due_in_s(index) < -LATE_S:
            self._late += 1

    def note_answered(self, index: int) -> None:
        if index >= self.first and not self._sleeps_us[index]:
            self._latencies_s.append(-self.due_in_s(index))

    def figures(self) -> Figures:
        """Figures of the ordinary calls: percentiles, and how many were sent late."""
        found = sorted(self._latencies_s)
        shares = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}
        return {
            **{name: percentile(found, share) * 1e6 for name, share in shares.items()},
            "late_percent": 100 * self._late / (self.length - self.first),
        }


def percentile(ordered: list[float], share: float) -> float:
    """The least of them that at least that share of all does not exceed; NaN if there are none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
