"""TimeoutLimiter: a request is admitted if it would end within the timeout of its client.

With n calls and a server that ends r calls in a second, the last one ends after n / r seconds. So
of requests with a timeout of t seconds `SHARE * t * r` may run at once. bRPC's limiter of that name
admits requests while the latency of others is below the timeout, which is known when it is late:
its queue swings. See docs/design/0023-limiters.md.
"""

from __future__ import annotations

from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.adaptive_max_concurrency import (
    FIRST_LIMIT,
    MAX_LIMIT,
    TimeoutConcurrencyConf,
)
from pybrpc.server.limiters.limiter import Limiter
from pybrpc.server.limiters.sample_window import Sample, SampleWindow, WindowSize
from pybrpc.server.limiters.service_rate import ServiceRate, mean_concurrency, mean_latency_s

SHARE = 0.6
"""The part of a timeout in which a response is to be ready. The rest is for the way to the client,
and for calls that take longer than most."""


class TimeoutLimiter(Limiter):
    """See above. A request that would run alone is always admitted: it measures anew."""

    __slots__ = ("_cap", "_rate", "_timeout_ms", "window")

    def __init__(
        self, conf: TimeoutConcurrencyConf | None = None, size: WindowSize | None = None
    ) -> None:
        Limiter.__init__(self, "timeout", True)
        conf = TimeoutConcurrencyConf() if conf is None else conf
        self._timeout_ms = conf.timeout_ms
        self._cap = conf.max_concurrency or MAX_LIMIT
        self._rate = ServiceRate()
        self.window = SampleWindow(size or WindowSize(), self._on_window)

    @property
    def calls_per_s(self) -> float:
        """Calls that the server ends in a second, as far as is known; 0: not yet."""
        return self._rate.per_s

    def limit(self) -> int:
        """Calls that may run at once of requests without a timeout."""
        return self._limit_for(self._timeout_ms)

    def _limit_for(self, timeout_ms: int) -> int:
        rate = self._rate.per_s
        if rate == 0.0:
            return min(FIRST_LIMIT, self._cap)
        return max(1, round(min(rate * timeout_ms * (SHARE / 1000), self._cap)))

    def admits(self, concurrency: int, timeout_ms: int, now: float) -> bool:
        return concurrency <= self._limit_for(timeout_ms or self._timeout_ms)

    def on_end(self, now: float, latency_s: float, concurrency: int, error_code: int) -> None:
        if error_code != ErrorCode.ELIMIT:
            self.window.add(now, latency_s, concurrency, error_code != 0)

    def _on_window(self, now: float, samples: list[Sample]) -> None:
        self._rate.note(mean_concurrency(samples), mean_latency_s(samples))

    def describe(self, timeout_ms: int) -> str:
        timeout_ms = timeout_ms or self._timeout_ms
        return f"{self._limit_for(timeout_ms)} (timeout, {timeout_ms} ms)"
