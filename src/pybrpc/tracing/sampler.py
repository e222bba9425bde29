"""Sampler: which calls get a span. A token bucket, from which all spans of the process take.

Each span takes one token, and so many tokens come per second. Calls differ in how far into debt
they may bring the bucket:

- a call that this process chooses needs a token;
- one whose caller has a span already may leave a debt of a tenth of a second: so traces that began
  elsewhere are mostly whole, but never make more spans than the limit allows, since what they owe
  must come in before this process chooses again;
- a call within a span may leave a debt of a second: a trace that has begun gets its inner spans.

So over time there are never more spans per second than the limit. The lock is only tried: if
another thread is about to take a token just now, or this one was interrupted by a signal handler
while it did so, the call gets no span.
"""

from __future__ import annotations

import threading

BURST_S = 0.1
"""Seconds for which tokens are saved up, two tokens at least; and which calls of traced callers may
owe."""

NESTED_DEBT_S = 1.0
"""Seconds that calls within a span may owe."""


class Sampler:
    """A token bucket. Any thread; never blocks."""

    __slots__ = ("_at", "_lock", "_per_second", "_tokens", "refused")

    def __init__(self, per_second: int) -> None:
        self._lock = threading.Lock()
        self._at = 0.0
        """Time up to which tokens have come in, in monotonic seconds."""
        self.refused = 0
        """Calls that got no span for want of a token; inexact. Most are refused before they ask:
        see `opens_at`."""
        self._per_second = per_second
        self._tokens = self._burst

    @property
    def per_second(self) -> int:
        """Spans per second, at most."""
        return self._per_second

    @per_second.setter
    def per_second(self, per_second: int) -> None:
        with self._lock:
            self._per_second = per_second
            self._tokens = min(self._tokens, self._burst)

    @property
    def _burst(self) -> float:
        return max(2.0, self._per_second * BURST_S) if self._per_second else 0.0

    def try_take(self, now: float, debt_s: float = 0.0) -> bool:
        """Take a token at `now`, in monotonic seconds, though that leaves a debt of `debt_s`
        seconds. False: no span for this call."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._fill(now)
            if self._tokens < 1.0 - debt_s * self._per_second or not self._per_second:
                self.refused += 1
                return False
            self._tokens -= 1.0
            return True
        finally:
            self._lock.release()

    def opens_at(self, now: float, debt_s: float = 0.0) -> float:
        """Time before which `try_take` is refused, in monotonic seconds; at most `now` if it is
        not, or if that is not known."""
        if not self._per_second:
            return now + 1.0
        missing = 1.0 - debt_s * self._per_second - self._tokens
        return self._at + missing / self._per_second if missing > 0 else now

    def _fill(self, now: float) -> None:
        passed_s = now - self._at
        if passed_s > 0:
            self._at = now
            self._tokens = min(self._burst, self._tokens + passed_s * self._per_second)

    def __repr__(self) -> str:
        return f"<Sampler {self._per_second} spans per second>"
