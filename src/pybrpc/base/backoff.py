"""Backoff: delays before attempts, which grow with each failure and differ at random."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from pybrpc.base.checked_options import is_number
from pybrpc.errors import InvalidBackoffError as InvalidBackoffError


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow by `factor` from `first_s` to `max_s` seconds, each shortened at random.

    first_s   the first delay; greater than 0
    factor    each delay is this many times the one before; at least 1
    max_s     the longest delay; at least `first_s`
    jitter    the largest part of a delay, 0 to 1, that is taken away at random: clients that failed
              together do not return together, even when their delays have stopped growing
    """

    first_s: float = 0.1
    factor: float = 1.6
    max_s: float = 10.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not is_number(value) and value == value:
                raise InvalidBackoffError(f"{field.name} must be a number, not {value!r}")
        self._check("first_s", self.first_s > 0, "greater than 0")
        self._check("factor", self.factor >= 1, "at least 1")
        self._check("max_s", self.max_s >= self.first_s, f"at least first_s={self.first_s!r}")
        self._check("jitter", 0 <= self.jitter <= 1, "from 0 to 1")

    def delay_s(self, attempt: int, random: Callable[[], float]) -> float:
        """Seconds to wait after the failure of attempt number `attempt`, counted from 0.

        `random` gives numbers from 0 to 1, as `random.random` does. The result is in
        `[(1 - jitter) * d, d]` where d is `first_s * factor ** attempt`, at most `max_s`.
        """
        longest_s = min(self.max_s, self._grown_s(attempt))
        return longest_s * (1 - self.jitter * random())

    def _grown_s(self, attempt: int) -> float:
        try:
            return self.first_s * float(self.factor) ** attempt
        except OverflowError:
            return self.max_s

    def _check(self, name: str, is_right: bool, allowed: str) -> None:
        value = getattr(self, name)
        if not is_right or not math.isfinite(value):
            raise InvalidBackoffError(f"{name} must be {allowed}, not {value!r}")
