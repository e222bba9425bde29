"""Meter: the beginning and the end of a measurement, in the client's process.

Each caller adds to a counter of its own. The rate is the difference of two readings of the clock
and of all counters, so neither the start nor the end of the run is in it.
"""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Callable

from bench.figures import Figures

BEGIN, END = "begin", "end"


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """The clock, this process's processor time and the number of calls, at one moment."""

    at_s: float
    cpu_s: float
    calls: int


class Meter:
    """Reads the clocks twice, and says aloud when: the servers' clocks are read then too."""

    def __init__(self, tell: Callable[[str], object] = lambda _: None) -> None:
        self._tell = tell
        self._readings: list[Reading] = []

    def begin(self, calls: int = 0) -> None:
        self._read(calls)
        self._tell(BEGIN)

    def end(self, calls: int) -> None:
        self._read(calls)
        self._tell(END)

    def figures(self) -> Figures:
        """Figures of the time between `begin` and `end`."""
        before, after = self._readings
        calls = after.calls - before.calls
        return {
            "calls": calls,
            "calls_per_s": calls / (after.at_s - before.at_s),
            "client_cpu_us": (after.cpu_s - before.cpu_s) / max(1, calls) * 1e6,
        }

    def _read(self, calls: int) -> None:
        self._readings.append(Reading(time.perf_counter(), cpu_s(), calls))


def cpu_s() -> float:
    """Processor time of this process so far, user and system, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
