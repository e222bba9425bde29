"""PeakEwma: the latency of a server, which rises at once and falls slowly.

A slower sample replaces the average. A faster one moves it, by a share that grows with the time
since the last sample: with w = exp(-elapsed / tau), the average becomes average * w + latency *
(1 - w). Without samples the average counts for less and less, so that a server which was slow, or
was punished, is tried again. The formulas are those of bRPC's p2c, which has them from Finagle.
"""

from __future__ import annotations

from math import exp

MIN_LATENCY_S = 1e-6
"""The least latency that counts, so that calls in flight decide between servers without one."""


class PeakEwma:
    """Any thread. Of two samples at the same time one may be lost, or get the time of the other."""

    __slots__ = ("average_s", "sampled_at")

    average_s: float
    """0 before the first sample."""
    sampled_at: float

    def __init__(self) -> None:
        self.average_s = 0.0
        self.sampled_at = 0.0

    def note(self, latency_s: float, now: float, tau_s: float) -> None:
        """A sample, taken now."""
        least_s = MIN_LATENCY_S
        average_s = self.average_s
        if average_s > 0.0 and latency_s < average_s:
            elapsed_s = now - self.sampled_at
            kept = exp(-elapsed_s / tau_s) if elapsed_s > 0.0 else 1.0
            latency_s = average_s * kept + latency_s * (1.0 - kept)
        self.average_s = latency_s if latency_s > least_s else least_s
        self.sampled_at = now

    def forget(self) -> None:
        """The server comes back, and may be another one."""
        self.average_s = 0.0

    def latency_s(self, now: float, tau_s: float) -> float:
        """The average, as far as it counts now; at least MIN_LATENCY_S."""
        least_s = MIN_LATENCY_S
        elapsed_s = now - self.sampled_at
        latency_s = self.average_s
        if elapsed_s > 0.0:
            latency_s *= exp(-elapsed_s / tau_s)
        return latency_s if latency_s > least_s else least_s

    def __repr__(self) -> str:
        return f"<PeakEwma {self.average_s * 1e3:.3f} ms>"
