"""OutlierDetection: a breaker that counts errors."""

from __future__ import annotations

import dataclasses

from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.checked_numbers import check_count, check_seconds, check_share
from pybrpc.client.cluster.breaking.server_breaker import ServerBreaker

BUCKETS = 10

_FAULT = Outcome.FAULT
_NONE: list[int] = []
"""The counts before the first attempt."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutlierDetection(CircuitBreaker):
    """Leaves out a server most of whose recent calls failed. The default of clusters.

    window              seconds of the calls that count
    error_share         share of failed calls from which the server is left out
    min_calls           ... if there were so many calls in the window
    consecutive_errors  failures in a row after which it is left out too

    bRPC's breaker weighs errors by the time that they took, so a server that fails at once is
    practically never left out (`EmaCircuitBreaker` does as bRPC); this one counts.
    """

    window: float = 10.0
    error_share: float = 0.5
    min_calls: int = 20
    consecutive_errors: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seconds("window", self.window, is_zero_allowed=False)
        check_share("error_share", self.error_share)
        if self.error_share == 0:
            raise ValueError("error_share must be more than 0")
        check_count("min_calls", self.min_calls)
        check_count("consecutive_errors", self.consecutive_errors)

    def new_server_breaker(self) -> ErrorCounts:
        return ErrorCounts(self)


class ErrorCounts(ServerBreaker):
    """The ServerBreaker of an OutlierDetection: a ring of buckets of time."""

    __slots__ = ("_bucket", "_bucket_s", "_calls", "_consecutive", "_count", "_errors", "_options")

    def __init__(self, options: OutlierDetection) -> None:
        self._options = options
        self._bucket_s = options.window / BUCKETS
        self._count = BUCKETS  # a C number of this object, where that is compiled
        self._bucket = 0
        """The number of the newest bucket, since the beginning of time."""
        self._calls: list[int] = _NONE
        self._errors: list[int] = _NONE
        self._consecutive = 0

    def note(self, outcome: Outcome, latency_s: float, now: float) -> bool:
        if self._calls is _NONE:  # Most servers of a long list are never called.
            self.reset(now)
        bucket = int(now / self._bucket_s)
        if bucket != self._bucket:
            self._move_to(bucket)
        index = bucket % self._count
        self._calls[index] += 1
        if outcome is not _FAULT:
            self._consecutive = 0
            return False
        self._errors[index] += 1
        self._consecutive += 1
        options = self._options
        if self._consecutive >= options.consecutive_errors:
            return True
        calls = sum(self._calls)
        return calls >= options.min_calls and sum(self._errors) >= calls * options.error_share

    def reset(self, now: float) -> None:
        self._consecutive = 0
        self._errors = [0] * BUCKETS  # First: another thread may have seen that there are calls.
        self._calls = [0] * BUCKETS

    def _move_to(self, bucket: int) -> None:
        """Empty the buckets between the newest one and `bucket`."""
        first = max(self._bucket + 1, bucket - BUCKETS + 1)
        if bucket > self._bucket:
            self._bucket = bucket
        for old in range(first, bucket + 1):
            self._calls[old % BUCKETS] = 0
            self._errors[old % BUCKETS] = 0

    def __repr__(self) -> str:
        return f"<ErrorCounts {sum(self._errors)} errors of {sum(self._calls)} calls>"
