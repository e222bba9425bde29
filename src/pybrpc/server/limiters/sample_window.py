"""SampleWindow: how the latest calls went, for limiters that learn from them.

After the windows of bRPC's limiters (src/brpc/policy/timeout_concurrency_limiter.cpp), with one
difference: a sample knows at which concurrency its call was admitted.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

Sample = tuple[float, int, bool]
"""Seconds that a call took, how many calls ran when it was admitted, whether it has failed."""

STUCK_S = 5.0
"""A window that is late by so many seconds was left by a thread that was interrupted in it."""


@dataclass(frozen=True, slots=True)
class WindowSize:
    """When a window ends: after `max_samples`, or after `window_s` seconds.

    Windows of that length with less than `min_samples` are discarded. Of calls that end less than
    `gap_s` after the latest sample only those of the very same moment are samples too: responses
    that are written together, of which the first alone would say little.
    """

    window_s: float = 10.0
    min_samples: int = 10
    max_samples: int = 100
    gap_s: float = 0.0001


class SampleWindow:
    """Collects samples. Any thread; `on_full` is called by one thread at a time."""

    __slots__ = ("_ends_at", "_latest_at", "_lock", "_on_full", "_samples", "_size")

    def __init__(self, size: WindowSize, on_full: Callable[[float, list[Sample]], None]) -> None:
        """`on_full(now, samples)` is called in the thread whose sample was the last one."""
        self._size = size
        self._on_full = on_full
        self._samples: deque[Sample] = deque(maxlen=4 * size.max_samples)
        self._latest_at = 0.0
        self._ends_at = 0.0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, now: float, latency_s: float, concurrency: int, has_failed: bool) -> None:
        """A call has ended at `now`, in monotonic seconds."""
        since = now - self._latest_at
        if 0.0 < since < self._size.gap_s:
            return
        self._latest_at = now
        samples = self._samples
        if not samples:
            self._ends_at = now + self._size.window_s
        samples.append((latency_s, concurrency, has_failed))
        if len(samples) >= self._size.max_samples or now >= self._ends_at:
            self._end_window(now)

    def _end_window(self, now: float) -> None:
        lock = self._lock
        if not lock.acquire(blocking=False):
            if now > self._ends_at + STUCK_S:
                self._lock = threading.Lock()
            return
        try:
            taken = self._take()
            if len(taken) >= self._size.min_samples:
                self._on_full(now, taken)
        finally:
            lock.release()

    def _take(self) -> list[Sample]:
        samples = self._samples
        taken: list[Sample] = []
        with contextlib.suppress(IndexError):
            for _ in range(len(samples)):
                taken.append(samples.popleft())
        return taken
