"""RetryBudget: how many retries the calls of a cluster may cause."""

from __future__ import annotations

import dataclasses

from pybrpc.client.cluster.breaking.checked_numbers import check_seconds, check_share


@dataclasses.dataclass(frozen=True)
class RetryBudget:
    """Retries are limited to a share of the calls, so that they don't finish off servers that fail
    because they have too much to do.

    ratio        retries for each call, from 0 to 1
    min_per_s    retries in each second that are allowed even if there are fewer calls
    window       seconds for which an allowance that was not used is kept

    A request of which nothing has left this process, and one that a server that stops has refused,
    costs nothing. After Finagle's RetryBudget.
    """

    ratio: float = 0.2
    min_per_s: float = 10.0
    window: float = 10.0

    def __post_init__(self) -> None:
        check_share("ratio", self.ratio)
        check_seconds("min_per_s", self.min_per_s)
        check_seconds("window", self.window, is_zero_allowed=False)


class RetryTokens:
    """The state of a RetryBudget: tokens that calls bring, and tokens that time brings. A retry
    needs one of either kind and takes one of both, so the more generous rule decides. So that time
    allows retries again soon after many calls did, it is never in debt for more than a second.

    Any thread; two at once may lose a part of a token.
    """

    __slots__ = ("_filled_at", "_max_tokens", "_min_per_s", "_min_tokens", "_ratio", "_tokens")

    def __init__(self, options: RetryBudget, now: float) -> None:
        self._ratio = options.ratio
        self._min_per_s = options.min_per_s
        self._max_tokens = max(options.min_per_s * options.window, 1.0)
        self._min_tokens = options.min_per_s * options.window
        self._tokens = 0.0
        self._filled_at = now

    def note_call(self) -> None:
        """A call begins."""
        tokens = self._tokens + self._ratio
        self._tokens = tokens if tokens < self._max_tokens else self._max_tokens

    def take(self, now: float) -> bool:
        """Whether there may be a retry now."""
        passed_s, self._filled_at = now - self._filled_at, now
        tokens = self._tokens
        of_time = min(self._max_tokens, self._min_tokens + passed_s * self._min_per_s)
        if tokens < 1.0 and of_time < 1.0:
            self._min_tokens = of_time
            return False
        self._min_tokens = max(of_time - 1.0, -self._min_per_s)
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
        return True

    def __repr__(self) -> str:
        tokens = max(self._tokens, self._min_tokens)
        return f"<RetryTokens {tokens:.1f} of {self._max_tokens:.1f}>"
