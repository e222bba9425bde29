"""Which limiter a limit asks for."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.server.limiters.adaptive_max_concurrency import (
    AdaptiveMaxConcurrency,
    AutoConcurrencyConf,
    TimeoutConcurrencyConf,
)
from pybrpc.server.limiters.auto_limiter import AutoLimiter
from pybrpc.server.limiters.limiter import ConstantLimiter, Limiter
from pybrpc.server.limiters.new_limiter import new_limiter
from pybrpc.server.limiters.timeout_limiter import TimeoutLimiter
from pybrpc.server.limiters.user_limiter import UserLimiter


class unlimited:
    # Named as the type of a limit that is none.
    max_concurrency = 3

    def admits(self, concurrency: int, timeout: float | None) -> bool:
        return False

    def on_end(self, latency: float, concurrency: int, error_code: int) -> None: ...


@pytest.mark.parametrize(
    ("given", "kind", "limit"),
    [
        (5, ConstantLimiter, 5),
        ("auto", AutoLimiter, 40),
        (AutoConcurrencyConf(max_limit=9), AutoLimiter, 9),
        ("timeout", TimeoutLimiter, 40),
        (TimeoutConcurrencyConf(50, 8), TimeoutLimiter, 8),
        (unlimited(), UserLimiter, 3),
    ],
)
def test_limiter_is_that_of_the_limit(given: Any, kind: type[Limiter], limit: int) -> None:
    limiter = new_limiter(AdaptiveMaxConcurrency(given))
    assert type(limiter) is kind
    assert limiter.limit() == limit
    assert new_limiter(AdaptiveMaxConcurrency(given)) is not limiter


def test_no_limit_has_no_limiter() -> None:
    assert new_limiter(AdaptiveMaxConcurrency()) is None
