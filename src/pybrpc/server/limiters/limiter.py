"""Limiter: whether one more request of a method, or of a server, may run now.

There is one for each limit. `Admission` counts the calls that run. It asks the limiter before a
request becomes a call, and tells it how each call has ended that was admitted.
"""

from __future__ import annotations


class Limiter:
    """The base of all limiters. This one admits everything.

    `admits` is called in turns of the server's dispatcher, so by one thread at a time; `on_end` in
    any thread, also by several at once. Neither blocks nor raises.
    """

    __slots__ = ("learns", "name")

    def __init__(self, name: str, learns: bool) -> None:
        self.name = name
        """Its kind: "constant", "auto", "timeout", or the name of a class of the user."""
        self.learns = learns
        """Whether it wants to know how calls end."""

    def limit(self) -> int:
        """Calls that may run at once, as it is now; 0: no limit. Any thread."""
        return 0

    def admits(self, concurrency: int, timeout_ms: int, now: float) -> bool:
        """Whether a request may run with which `concurrency` calls would run, itself included.

        `timeout_ms`: milliseconds in which its client wants the response; 0: unknown. `now` is in
        monotonic seconds. A request that is admitted here may still be refused by another limit.
        """
        return True

    def on_end(self, now: float, latency_s: float, concurrency: int, error_code: int) -> None:
        """A call has ended at `now`, `latency_s` after it was admitted; `error_code` 0: success.

        `concurrency`: the calls that ran when it was admitted, itself included.
        """

    def describe(self, timeout_ms: int) -> str:
        """The limit that a request with `timeout_ms` has met: "24 (auto)"."""
        return f"{self.limit()} ({self.name})"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe(0)}>"


class ConstantLimiter(Limiter):
    """A number of calls that does not change."""

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        Limiter.__init__(self, "constant", False)
        self._limit = limit

    def limit(self) -> int:
        return self._limit

    def admits(self, concurrency: int, timeout_ms: int, now: float) -> bool:
        return concurrency <= self._limit

    def describe(self, timeout_ms: int) -> str:
        return str(self._limit)
