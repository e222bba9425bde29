"""AutoLimiter: as many calls at once as the server can use, and a short queue.

A server that ends r calls in a second, each of which takes w seconds if none waits, is full with
`r * w` calls. More of them only wait. Both are measured, nothing is configured:

- r, by a ServiceRate, while the server is busy;
- w, the *latency without load*: of calls that were admitted while the server was not full. If there
  are none for some time, because the server is always full, the limit is lowered to half of what
  fills it, until a few calls have ended: a *probe*. bRPC and BBR, a congestion control of TCP, do
  so too. Without it, w would become what calls take in the queue that the limit allows, and the
  limit would grow, and so the queue, as long as the overload lasts.

The queue makes up for requests that come at random: without one, a server that is used at 90 %
refuses every tenth. See docs/design/0023-limiters.md for the choice, and what it costs.
"""

from __future__ import annotations

import math

from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.adaptive_max_concurrency import (
    FIRST_LIMIT,
    MAX_LIMIT,
    AutoConcurrencyConf,
)
from pybrpc.server.limiters.limiter import Limiter
from pybrpc.server.limiters.sample_window import Sample, SampleWindow, WindowSize
from pybrpc.server.limiters.service_rate import ServiceRate, mean_concurrency, mean_latency_s

HEADROOM = 1.3
"""How many times as many calls as fill the server may run."""

QUEUE = 10
"""Calls that may wait besides."""

QUEUE_S = 0.02
"""And as many as end in this time, in seconds: one read can bring hundreds of short calls."""

NOT_FULL = 0.75
"""The server was not full for calls that were admitted at this part of the concurrency that fills
it, and below."""

MIN_LOW_SAMPLES = 10
"""Such calls that it takes to change the latency without load."""

LOW_WEIGHT = 0.1
"""How much they change it."""

NEAR = 0.5
"""Only a server whose calls reach this part of the limit is probed: no other one needs it."""

PROBE_SAMPLES, MIN_PROBE_SAMPLES = 16, 4
PROBE_S = 2.0
"""A probe ends after so many calls, or seconds."""

PROBE_WEIGHT = 0.7
FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 10.0
"""Seconds between two probes: doubled after each that has found little new."""

MUCH = 0.2
"""The part of the latency without load by which a probe changes it if it has found much new."""


class AutoLimiter(Limiter):
    """See above. What several threads find at the same time may be lost: these are statistics."""

    __slots__ = (
        "_conf",
        "_limit",
        "_low_samples",
        "_pause_s",
        "_probe_at",
        "_probe_ends_at",
        "_probe_from",
        "_probe_samples",
        "_rate",
        "no_load_s",
        "window",
    )

    def __init__(
        self, conf: AutoConcurrencyConf | None = None, size: WindowSize | None = None
    ) -> None:
        Limiter.__init__(self, "auto", True)
        self._conf = AutoConcurrencyConf() if conf is None else conf
        self._limit = self._bounded(FIRST_LIMIT)
        self._rate = ServiceRate()
        self.no_load_s = 0.0
        """Seconds that a call takes without load; 0: unknown yet."""
        self._low_samples: list[Sample] = []
        self._pause_s = FIRST_PAUSE_S
        self._probe_at = 0.0
        """Time of the next probe, in monotonic seconds."""
        self._probe_ends_at = 0.0
        """Time at which the probe is given up; 0: there is none now."""
        self._probe_from = 0.0
        self._probe_samples: list[Sample] = []
        self.window = SampleWindow(size or WindowSize(), self._on_window)

    @property
    def calls_per_s(self) -> float:
        """Calls that the server ends in a second, as far as is known; 0: not yet."""
        return self._rate.per_s

    @property
    def is_probing(self) -> bool:
        """Whether the limit is lowered for a probe."""
        return self._probe_ends_at > 0.0

    def limit(self) -> int:
        return self._limit

    def admits(self, concurrency: int, timeout_ms: int, now: float) -> bool:
        if concurrency <= self._limit:
            return True
        if 0.0 < self._probe_ends_at < now:
            # Calls hang: they must not keep the limit low.
            self._end_probe(now)
            return concurrency <= self._limit
        return False

    def on_end(self, now: float, latency_s: float, concurrency: int, error_code: int) -> None:
        if error_code == ErrorCode.ELIMIT:
            return
        has_failed = error_code != 0
        if self._probe_ends_at == 0.0:
            self.window.add(now, latency_s, concurrency, has_failed)
            return
        if now - latency_s >= self._probe_from and concurrency <= self._limit:
            self._probe_samples.append((latency_s, concurrency, has_failed))
        if len(self._probe_samples) >= PROBE_SAMPLES or now > self._probe_ends_at:
            self._end_probe(now)

    def _on_window(self, now: float, samples: list[Sample]) -> None:
        latency_s, concurrency = self._mean_latency_s(samples), mean_concurrency(samples)
        self._rate.note(concurrency, latency_s)
        if self.no_load_s == 0.0:
            self.no_load_s = latency_s
            self._probe_at = now + self._pause_s
        else:
            self._take_low(now, samples)
        self._set_limit()
        if now >= self._probe_at and concurrency >= NEAR * self._limit:
            self._begin_probe(now)

    def _take_low(self, now: float, samples: list[Sample]) -> None:
        """Learn from the calls for which the server was not full. They save a probe."""
        most = max(1.0, NOT_FULL * self._rate.per_s * self.no_load_s)
        low = self._low_samples
        low += [sample for sample in samples if sample[1] <= most]
        if len(low) >= MIN_LOW_SAMPLES:
            self._low_samples = []
            self.no_load_s += LOW_WEIGHT * (self._mean_latency_s(low) - self.no_load_s)
            self._probe_at = now + self._pause_s

    def _begin_probe(self, now: float) -> None:
        self._limit = max(1, int(self._rate.per_s * self.no_load_s / 2))
        self._probe_samples = []
        self._probe_from = now
        self._probe_ends_at = now + PROBE_S

    def _end_probe(self, now: float) -> None:
        # Two threads may do so: the second one finds no samples.
        samples, self._probe_samples = self._probe_samples, []
        self._probe_ends_at = 0.0
        was = self.no_load_s
        if len(samples) >= MIN_PROBE_SAMPLES:
            self.no_load_s += PROBE_WEIGHT * (self._mean_latency_s(samples) - was)
        if abs(self.no_load_s - was) > MUCH * was:
            self._pause_s = FIRST_PAUSE_S
        else:
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        self._probe_at = now + self._pause_s
        self._set_limit()

    def _set_limit(self) -> None:
        calls = self._rate.per_s * (HEADROOM * self.no_load_s + QUEUE_S)
        self._limit = self._bounded(math.ceil(min(calls, MAX_LIMIT)) + QUEUE)

    def _bounded(self, limit: int) -> int:
        conf = self._conf
        return max(conf.min_limit, min(limit, conf.max_limit or MAX_LIMIT))

    def _mean_latency_s(self, samples: list[Sample]) -> float:
        return mean_latency_s(samples, self._conf.error_rate_punish_threshold)
