"""AdaptiveMaxConcurrency: bRPC's conversions, and how wrong limits are refused."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.server.limiters.adaptive_max_concurrency import (
    MAX_LIMIT,
    AdaptiveMaxConcurrency,
    AutoConcurrencyConf,
    ConcurrencyLimiter,
    TimeoutConcurrencyConf,
    checked_max_concurrency,
)

pytestmark = pytest.mark.python_only


class Half:
    max_concurrency = 3

    def admits(self, concurrency: int, timeout: float | None) -> bool:
        return concurrency <= self.max_concurrency

    def on_end(self, latency: float, concurrency: int, error_code: int) -> None: ...


@pytest.mark.parametrize(
    ("given", "kind", "value", "number"),
    [
        (0, "unlimited", "unlimited", 0),
        ("unlimited", "unlimited", "unlimited", 0),
        ("", "unlimited", "unlimited", 0),
        (10, "constant", "10", 10),
        ("10", "constant", "10", 10),
        ("0", "unlimited", "unlimited", 0),
        ("auto", "auto", "auto", -1),
        (AutoConcurrencyConf(max_limit=9), "auto", "auto", -1),
        ("timeout", "timeout", "timeout", -1),
        (TimeoutConcurrencyConf(50, 100), "timeout", "timeout", -1),
        (Half(), "Half", "Half", -1),
        (MAX_LIMIT + 1, "constant", str(MAX_LIMIT), MAX_LIMIT),
    ],
)
def test_limit_converts_as_in_brpc(given: Any, kind: str, value: str, number: int) -> None:
    """AdaptiveMaxConcurrencyTest.ShouldConvertCorrectly"""
    limit = AdaptiveMaxConcurrency(given)
    assert (limit.type, limit.value, str(limit), int(limit)) == (kind, value, value, number)
    assert limit == value
    assert limit == AdaptiveMaxConcurrency(limit)
    assert checked_max_concurrency("limit", limit) is limit


def test_fields_of_a_timeout_are_kept() -> None:
    conf = AdaptiveMaxConcurrency(TimeoutConcurrencyConf(50, 100)).conf
    assert conf == TimeoutConcurrencyConf(timeout_ms=50, max_concurrency=100)


def test_limits_are_equal_to_what_has_the_same_text() -> None:
    assert AdaptiveMaxConcurrency(10) == 10
    assert AdaptiveMaxConcurrency(10) == "10"
    assert AdaptiveMaxConcurrency(0) == 0
    assert AdaptiveMaxConcurrency(1) != True  # noqa: E712 - a flag is no number
    assert AdaptiveMaxConcurrency("auto") != -1
    assert AdaptiveMaxConcurrency("auto") != AdaptiveMaxConcurrency(AutoConcurrencyConf(5))
    assert len({AdaptiveMaxConcurrency(10), AdaptiveMaxConcurrency("10")}) == 1
    one = Half()
    assert AdaptiveMaxConcurrency(one) == AdaptiveMaxConcurrency(one)
    assert AdaptiveMaxConcurrency(one) != AdaptiveMaxConcurrency(Half())


def test_limit_can_not_be_changed() -> None:
    limit = AdaptiveMaxConcurrency("auto")
    with pytest.raises(AttributeError, match="immutable"):
        limit.value = "7"
    assert repr(limit).startswith("AdaptiveMaxConcurrency(AutoConcurrencyConf(min_limit=4,")
    assert repr(AdaptiveMaxConcurrency(7)) == "AdaptiveMaxConcurrency('7')"


class Waits(Half):
    async def admits(self, concurrency: int, timeout: float | None) -> bool:  # type: ignore[override]
        return True


class Lacks:
    max_concurrency = 3

    def admits(self, concurrency: int, timeout: float | None) -> bool:
        return True


class Raises(Half):
    @property
    def max_concurrency(self) -> int:  # type: ignore[override]
        raise RuntimeError

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (-1, ValueError, "limit must be a whole number >= 0, not -1"),
        (True, ValueError, "limit must be a whole number >= 0, not True"),
        (1.5, ValueError, "limit must be a whole number >= 0, not 1.5"),
        (None, ValueError, "limit must be a whole number >= 0, not None"),
        ("atuo", ValueError, '"unlimited", "auto" or "timeout", not \'atuo\''),
        ("-1", ValueError, "not '-1'"),
        ("9" * 5000, ValueError, "not '999"),
        ("\u0663", ValueError, "limit must be a whole number"),
        (b"auto", TypeError, "limit must be a whole number .* ConcurrencyLimiter, not b'auto'"),
        (Half, TypeError, "ConcurrencyLimiter, not the class Half: make an object"),
        (Lacks(), TypeError, "ConcurrencyLimiter, not <.*Lacks.*; a limiter has the methods"),
        (Waits(), TypeError, r"Waits\.admits must be no async function"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_wrong_limit_is_refused(given: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        checked_max_concurrency("limit", given)
    with pytest.raises(error):
        AdaptiveMaxConcurrency(given)


def test_no_code_of_a_limiter_runs_when_it_is_given() -> None:
    assert checked_max_concurrency("limit", Raises()).type == "Raises"
    assert isinstance(Half(), ConcurrencyLimiter)


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        (AutoConcurrencyConf, {"min_limit": 0}, "min_limit must be a whole number"),
        (AutoConcurrencyConf, {"max_limit": -1}, "max_limit must be a whole number"),
        (AutoConcurrencyConf, {"min_limit": 9, "max_limit": 8}, "max_limit=8 is below min_limit=9"),
        (AutoConcurrencyConf, {"error_rate_punish_threshold": 1}, "from 0 to less than 1, not 1"),
        (AutoConcurrencyConf, {"error_rate_punish_threshold": float("nan")}, "not nan"),
        (TimeoutConcurrencyConf, {"timeout_ms": 0}, "timeout_ms must be a whole number"),
        (TimeoutConcurrencyConf, {"timeout_ms": 0.5}, "timeout_ms must be a whole number"),
        (TimeoutConcurrencyConf, {"max_concurrency": -1}, "max_concurrency must be a whole number"),
    ],
)
def test_wrong_options_are_refused(kind: Any, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        kind(**fields)
