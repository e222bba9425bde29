"""TimeoutLimiter: as many calls as end in time."""

from __future__ import annotations

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.adaptive_max_concurrency import TimeoutConcurrencyConf
from pybrpc.server.limiters.sample_window import WindowSize
from pybrpc.server.limiters.timeout_limiter import SHARE, TimeoutLimiter


def measured(
    conf: TimeoutConcurrencyConf | None = None, latency_s: float = 0.010, concurrency: int = 8
) -> TimeoutLimiter:
    """A limiter that has seen a hundred calls: 800 of them end in a second, unless told
    otherwise."""
    limiter = TimeoutLimiter(conf)
    for number in range(100):
        limiter.on_end(10.0 + number / 1000, latency_s, concurrency, 0)
    return limiter


def most_admitted(limiter: TimeoutLimiter, timeout_ms: int) -> int:
    return max(n for n in range(1, 2000) if limiter.admits(n, timeout_ms, 0.0))


def test_first_calls_have_a_fixed_limit() -> None:
    limiter = TimeoutLimiter()
    assert most_admitted(limiter, 1) == most_admitted(limiter, 60_000) == 40
    assert limiter.limit() == 40
    assert most_admitted(TimeoutLimiter(TimeoutConcurrencyConf(max_concurrency=7)), 0) == 7


def test_as_many_calls_are_admitted_as_end_in_time() -> None:
    limiter = measured()
    assert limiter.calls_per_s == pytest.approx(800)
    assert most_admitted(limiter, 100) == round(80 * SHARE)
    assert most_admitted(limiter, 1000) == round(800 * SHARE)


def test_requests_without_timeout_have_the_configured_one() -> None:
    limiter = measured(TimeoutConcurrencyConf(timeout_ms=50))
    assert most_admitted(limiter, 0) == limiter.limit() == round(40 * SHARE)
    assert limiter.describe(0) == f"{round(40 * SHARE)} (timeout, 50 ms)"
    assert limiter.describe(100) == f"{round(80 * SHARE)} (timeout, 100 ms)"


def test_configured_number_bounds_all_timeouts() -> None:
    limiter = measured(TimeoutConcurrencyConf(max_concurrency=100))
    assert most_admitted(limiter, 1000) == limiter.limit() == 100
    assert most_admitted(limiter, 100) == round(80 * SHARE)


def test_call_that_would_run_alone_is_always_admitted() -> None:
    limiter = measured(latency_s=60.0, concurrency=1)
    assert most_admitted(limiter, 1) == 1
    assert repr(limiter) == "<TimeoutLimiter 1 (timeout, 500 ms)>"


def test_huge_timeout_of_a_client_overflows_nothing() -> None:
    limiter = measured(latency_s=0.0, concurrency=1 << 20)
    assert limiter.admits(1 << 30, (1 << 31) - 1, 0.0)


def test_calls_that_the_limit_of_another_server_refused_say_nothing() -> None:
    limiter = TimeoutLimiter(size=WindowSize(10.0, 5, 10, 0.0))
    for number in range(20):
        limiter.on_end(float(number) / 1000, 0.0001, 8, ErrorCode.ELIMIT)
    assert limiter.calls_per_s == 0.0
    for number in range(20):
        limiter.on_end(float(number) / 1000, 0.010, 8, ErrorCode.EINTERNAL)
    assert limiter.calls_per_s == pytest.approx(400)
