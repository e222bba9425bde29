"""AutoLimiter: what it measures, and its probes."""

from __future__ import annotations

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.adaptive_max_concurrency import AutoConcurrencyConf
from pybrpc.server.limiters.auto_limiter import (
    FIRST_PAUSE_S,
    HEADROOM,
    PROBE_S,
    PROBE_SAMPLES,
    QUEUE,
    QUEUE_S,
    AutoLimiter,
)

OK, FAILED = 0, ErrorCode.EINTERNAL


class Measured(AutoLimiter):
    """A limiter, and the time of its calls."""

    __slots__ = ("now",)

    def __init__(self, **fields: float) -> None:
        AutoLimiter.__init__(self, AutoConcurrencyConf(**fields))  # type: ignore[arg-type]
        self.now = 10.0

    def end(self, count: int, latency_s: float, concurrency: int, code: int = OK) -> Measured:
        for _ in range(count):
            self.now += 0.001
            self.on_end(self.now, latency_s, concurrency, code)
        return self

    def until_probe(self, latency_s: float, concurrency: int) -> Measured:
        """Let calls of a full server end until the limiter probes."""
        for _ in range(100_000):
            if self.is_probing:
                break
            self.end(1, latency_s, concurrency)
        assert self.is_probing
        return self


def limit_of(per_s: float, no_load_s: float) -> float:
    return pytest.approx(per_s * (HEADROOM * no_load_s + QUEUE_S) + QUEUE, abs=1)


@pytest.mark.parametrize(
    ("threshold", "failed", "least_us", "most_us"),
    [
        (0.0, 10, 180, 250),
        (0.2, 10, 80, 130),
        (0.1, 10, 80, 130),
        (0.1, 50, 450, 650),
        (0.1, 90, 7000, 9000),
    ],
    ids=["zero", "below", "exactly at", "above, half fail", "above, most fail"],
)
def test_failed_calls_are_punished_above_the_threshold(
    threshold: float, failed: int, least_us: float, most_us: float
) -> None:
    """ThresholdZeroPreservesOriginalBehavior, BelowThresholdZeroPunishment,
    ExactlyAtThresholdZeroPunishment, AboveThresholdLinearScaling"""
    limiter = Measured(error_rate_punish_threshold=threshold)
    limiter.end(100 - failed, 100e-6, 1).end(failed, 1000e-6, 1, FAILED)
    assert least_us <= limiter.no_load_s * 1e6 <= most_us


def test_first_limit_is_fixed() -> None:
    assert AutoLimiter().limit() == 40
    assert AutoLimiter(AutoConcurrencyConf(max_limit=5)).limit() == 5
    assert AutoLimiter(AutoConcurrencyConf(min_limit=50)).limit() == 50


def test_limit_is_what_fills_the_server_and_a_queue() -> None:
    limiter = Measured().end(100, 0.010, 8)
    assert limiter.limit() == limit_of(800, 0.010)
    assert limiter.admits(limiter.limit(), 0, limiter.now)
    assert not limiter.admits(limiter.limit() + 1, 0, limiter.now)
    assert repr(limiter) == f"<Measured {limiter.limit()} (auto)>"


@pytest.mark.parametrize(("latency_s", "concurrency", "limit"), [(10.0, 1, 4), (1e-5, 100, 64)])
def test_limit_stays_in_its_bounds(latency_s: float, concurrency: int, limit: int) -> None:
    conf = AutoConcurrencyConf(min_limit=4, max_limit=64)
    limiter = AutoLimiter(conf)
    for number in range(100):
        limiter.on_end(10.0 + number / 1000, latency_s, concurrency, OK)
    assert limiter.limit() in (limit, QUEUE + 2)
    assert conf.min_limit <= limiter.limit() <= conf.max_limit


def test_calls_that_are_refused_elsewhere_say_nothing() -> None:
    limiter = Measured().end(200, 0.010, 8, ErrorCode.ELIMIT)
    assert (limiter.calls_per_s, limiter.limit()) == (0.0, 40)


def test_calls_without_load_say_how_long_a_call_takes() -> None:
    limiter = Measured().end(100, 0.050, 40)
    for _ in range(50):
        limiter.end(80, 0.050, 40).end(20, 0.010, 4)
    assert limiter.no_load_s == pytest.approx(0.010, rel=0.2)
    assert not limiter.is_probing


def test_server_that_is_always_full_is_probed() -> None:
    limiter = Measured().end(100, 0.050, 40)
    before = limiter.limit()
    limiter.until_probe(0.050, 40)
    assert limiter.now >= 10.0 + FIRST_PAUSE_S
    assert limiter.limit() == pytest.approx(20, abs=1)
    # Those that were admitted before the probe say nothing new.
    limiter.end(30, 0.050, 40)
    assert limiter.is_probing
    limiter.now += 0.1
    limiter.end(PROBE_SAMPLES, 0.025, 20)
    assert not limiter.is_probing
    assert 0.025 < limiter.no_load_s < 0.035
    assert limiter.limit() < before


def test_probes_find_the_latency_without_load_in_the_end() -> None:
    limiter = Measured().end(100, 0.050, 40)
    for _ in range(8):
        limiter.until_probe(0.050, 40)
        limiter.now += 0.1
        concurrency = limiter.limit()
        limiter.end(PROBE_SAMPLES, max(0.010, concurrency / 800), concurrency)
    assert limiter.no_load_s == pytest.approx(0.010, rel=0.1)
    assert limiter.limit() == limit_of(800, 0.010)


def test_probes_become_rare_when_they_find_nothing_new() -> None:
    limiter = Measured().end(100, 0.050, 40)
    pauses: list[float] = []
    for _ in range(6):
        began = limiter.now
        limiter.until_probe(0.050, 40)
        pauses.append(limiter.now - began)
        limiter.now += 0.1
        limiter.end(PROBE_SAMPLES, limiter.no_load_s, limiter.limit())
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 10, 10]


def test_hanging_calls_do_not_keep_the_limit_low() -> None:
    limiter = Measured().end(100, 0.050, 40).until_probe(0.050, 40)
    low = limiter.limit()
    assert not limiter.admits(low + 1, 0, limiter.now + PROBE_S - 0.01)
    assert limiter.admits(low + 1, 0, limiter.now + PROBE_S + 0.01)
    assert not limiter.is_probing
    assert limiter.limit() > 40


def test_probe_without_enough_calls_changes_nothing() -> None:
    limiter = Measured().end(100, 0.050, 40).until_probe(0.050, 40)
    limiter.now += PROBE_S + 0.1
    limiter.end(1, 0.001, 1)
    assert not limiter.is_probing
    assert limiter.no_load_s == pytest.approx(0.050)


def test_server_that_is_busy_but_not_full_is_not_probed() -> None:
    limiter = Measured().end(100, 0.010, 8)
    for _ in range(300):
        limiter.end(100, 0.010, 9)
        assert not limiter.is_probing
