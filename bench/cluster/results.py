"""Results of a simulated run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STEP_S = 0.1
"""Seconds of one step of a time series."""


@dataclass(frozen=True, slots=True)
class Results:
    """Figures of the calls that have ended. Latencies are those of calls that have succeeded."""

    latencies_s: Sequence[float]
    """In order."""
    calls: int
    failed: int
    attempts: int
    """Those that were sent since the figures count."""
    shares: Sequence[float]
    """The part of the requests that each server has received, since the figures count."""
    codes: Mapping[int, int] = field(default_factory=dict)
    """How many calls have ended with each code, 0 for success."""
    steps: Sequence[tuple[int, int]] = ()
    """For each STEP_S of the whole run: calls that began in it, and how many of them have failed.
    """
    in_time_per_s: float = 0.0
    """Calls that have succeeded, for each second in which they were counted: the goodput."""

    def percentile_s(self, part: float) -> float:
        """A latency that `part` of the calls, from 0 to 1, do not exceed. 0 without any."""
        if not self.latencies_s:
            return 0.0
        return self.latencies_s[min(int(part * len(self.latencies_s)), len(self.latencies_s) - 1)]

    @property
    def p50_s(self) -> float:
        """The median latency."""
        return self.percentile_s(0.5)

    @property
    def p99_s(self) -> float:
        """The latency that one of 100 calls exceeds."""
        return self.percentile_s(0.99)

    @property
    def failed_share(self) -> float:
        """The part of the calls that has failed."""
        return self.failed / self.calls if self.calls else 0.0

    def share_of(self, code: int) -> float:
        """The part of the calls that has ended with `code`."""
        return self.codes.get(code, 0) / self.calls if self.calls else 0.0
