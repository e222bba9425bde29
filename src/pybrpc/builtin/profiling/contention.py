"""The contention profile: stacks that wait for locks, with the lags of GIL and loops as notes."""

from __future__ import annotations

import time
from collections.abc import Callable

from pybrpc.builtin.profiling.lags import LagMeter, LoopLags
from pybrpc.builtin.profiling.lock_waits import LockWaits
from pybrpc.builtin.profiling.profile import Profile, ValueType
from pybrpc.builtin.profiling.sampling import MAX_PAUSE_S, fine_timers

WAKE_S = 0.005
SAMPLE_EVERY = 2
"""Wakes: a sample of the threads every 10 ms."""
ASK_EVERY = 10
"""Wakes: loops are asked every 50 ms."""
FIND_EVERY = 200
MAX_SHARE = 0.1
"""As in sampling.py."""


class ContentionSampler:
    """Wakes every 5 ms, and measures how late it is."""

    def __init__(
        self,
        waits: LockWaits | None = None,
        loops: LoopLags | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], object] = time.sleep,
        cost_clock_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._waits = waits or LockWaits()
        self._loops = loops or LoopLags()
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._cost_clock_ns = cost_clock_ns
        self._gil = LagMeter("lag of threads (GIL and scheduler)")
        self._wakes = 0

    def run(self, seconds: float, is_over: Callable[[], bool]) -> float:
        """For `seconds`, or until `is_over()`. Blocks; return how many seconds that took."""
        started_ns = self._clock_ns()
        ends_ns = started_ns + round(seconds * 1e9)
        pause_ns = round(WAKE_S * 1e9)
        while self._clock_ns() < ends_ns and not is_over():
            before_cost_ns = self._cost_clock_ns()
            self._work()
            cost_ns = self._cost_clock_ns() - before_cost_ns
            after_ns = self._clock_ns()
            # Work that costs much makes the pauses longer.
            share_ns = round(cost_ns * (1.0 / MAX_SHARE - 1.0))
            wait_ns = min(max(pause_ns, share_ns), round(MAX_PAUSE_S * 1e9))
            self._sleep(wait_ns / 1e9)
            self._gil.add(self._clock_ns() - after_ns - wait_ns)
        return (self._clock_ns() - started_ns) / 1e9

    def _work(self) -> None:
        if self._wakes % SAMPLE_EVERY == 0:
            self._waits.take()
        if self._wakes % FIND_EVERY == 0:
            self._loops.find_loops()
        if self._wakes % ASK_EVERY == 0:
            self._loops.ask()
        self._wakes += 1

    def profile(self, taken_at_s: float, duration_s: float) -> Profile:
        """The result so far."""
        return Profile(
            "contention",
            (ValueType("contentions", "count"), ValueType("delay", "nanoseconds")),
            self._waits.builder.samples,
            taken_at_s,
            duration_s,
            round(WAKE_S * SAMPLE_EVERY * 1e9),
            (self._gil.text(), *self._loops.texts()),
        )


def take_contention_profile(seconds: float, is_over: Callable[[], bool]) -> Profile:
    """Watch all threads and loops for `seconds`, or until `is_over()`. Blocks."""
    sampler = ContentionSampler()
    taken_at_s = time.time()
    with fine_timers():
        duration_s = sampler.run(seconds, is_over)
    return sampler.profile(taken_at_s, duration_s)
