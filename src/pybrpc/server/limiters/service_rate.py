"""ServiceRate: how fast a server ends the calls that run in it.

The calls of a server that is full wait for each other: one that was admitted as the twelfth ends
when twelve have ended. So `concurrency / latency` of the calls that have ended is the number of
calls that the server ends in a second. While it is not full, a call does not wait, and the same
quotient says how many calls a second it would end at least. By Little's law that holds whatever
makes calls wait: worker threads, the GIL, an asyncio loop, a lock.
"""

from __future__ import annotations

from pybrpc.server.limiters.sample_window import Sample

UP, DOWN, IDLE_DOWN = 0.5, 0.3, 0.02
"""How much a new value counts: a greater one, a smaller one of a full server, and a smaller one of
a server that was not full, which says little."""

FULL = 0.5
"""A server is full at this part of the concurrency of its greatest rate, and above it."""


class ServiceRate:
    """Calls per second. One thread at a time."""

    __slots__ = ("_concurrency", "per_s")

    def __init__(self) -> None:
        self.per_s = 0.0
        """0: unknown yet."""
        self._concurrency = 0.0

    def note(self, concurrency: float, latency_s: float) -> None:
        """Calls that were admitted at a mean `concurrency` took `latency_s` on average."""
        new = concurrency / max(latency_s, 1e-6)
        was = self.per_s
        if was == 0.0:
            self.per_s, self._concurrency = new, concurrency
            return
        is_full = concurrency >= FULL * self._concurrency
        weight = UP if new > was else DOWN if is_full else IDLE_DOWN
        self.per_s = was + weight * (new - was)
        self._concurrency += weight * (concurrency - self._concurrency)


def mean_latency_s(samples: list[Sample], free_error_rate: float = 0.0) -> float:
    """Seconds per call that has succeeded, in which the time of failed calls is counted too.

    As in bRPC: a server whose calls fail is slower than one whose calls succeed, however fast they
    fail. If at most `free_error_rate` of them fail, these count nothing; above it, in proportion.
    With a rate of 0 all count.
    """
    succeeded_s = failed_s = 0.0
    failures = 0
    for latency_s, _, has_failed in samples:
        if has_failed:
            failed_s += latency_s
            failures += 1
        else:
            succeeded_s += latency_s
    successes = len(samples) - failures
    if not successes:
        return 2.0 * failed_s / failures
    error_rate = failures / len(samples)
    if free_error_rate and error_rate <= free_error_rate:
        failed_s = 0.0
    elif free_error_rate:
        failed_s *= (error_rate - free_error_rate) / (1.0 - free_error_rate)
    return (failed_s + succeeded_s) / successes


def mean_concurrency(samples: list[Sample]) -> float:
    return sum(concurrency for _, concurrency, _ in samples) / len(samples)
