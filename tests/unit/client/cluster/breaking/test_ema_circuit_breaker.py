"""bRPC's breaker. Its tests (brpc_circuit_breaker_unittest.cpp), with their numbers: short window
500 calls and 10 %, long one 1000 and 5 %, isolation 10 to 200 ms, 3 threads with 2000 calls each.

| bRPC's test | here |
|---|---|
| should_not_isolate | test_few_errors_break_nothing |
| should_isolate | test_many_errors_break |
| should_isolate_with_half_open | test_server_states.py, failed trials |
| isolation_duration_grow_and_reset | test_isolation_grows_and_is_reset |
| maximum_isolation_duration | test_isolation_has_a_maximum |
"""

from __future__ import annotations

import threading

import pytest

from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.breaking.ema_circuit_breaker import EmaCircuitBreaker, EmaErrorRecorder
from pybrpc.client.cluster.breaking.isolation import Isolation
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from tests.fakes.routers import FAILED, RouterHarness

OPTIONS = EmaCircuitBreaker(
    short_window_size=500,
    short_window_error_percent=10,
    long_window_size=1000,
    long_window_error_percent=5,
)


def broken_after(error_percent: int, latency_s: float = 0.001) -> int:
    """Calls of which so many fail, by three threads; how often the breaker trips."""
    breaker = OPTIONS.new_server_breaker()
    trips = [0]

    def run() -> None:
        for number in range(2000):
            is_error = number % 100 < error_percent
            outcome = Outcome.FAULT if is_error else Outcome.SUCCESS
            trips[0] += breaker.note(outcome, latency_s, 0.0)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return trips[0]


def test_few_errors_break_nothing() -> None:
    assert broken_after(3) == 0


def test_many_errors_break() -> None:
    assert broken_after(50) > 0


@pytest.mark.parametrize(("window", "share"), [(1500, 0.10), (3000, 0.05)])
def test_cold_window_breaks_with_error_151(window: int, share: float) -> None:
    recorder = EmaErrorRecorder(window, share)
    recorder.note(False, 1000.0)
    ends = [recorder.note(True, 1.0) for _ in range(151)]
    assert ends == [False] * 150 + [True]


@pytest.mark.parametrize(("factor", "calls"), [(2.0, 77), (1.0, 154), (0.5, 307), (0.2, 766)])
def test_warm_window_breaks_when_errors_have_cost_enough_time(factor: float, calls: int) -> None:
    """The calls until isolation at 100 % errors, by the time that an error takes."""
    recorder = EmaErrorRecorder(1500, 0.10)
    for _ in range(1500):
        recorder.note(False, 1000.0)
    count = 1
    while not recorder.note(True, 1000.0 * factor):
        count += 1
    assert count == pytest.approx(calls, abs=1)


def test_server_that_fails_at_once_is_practically_never_left_out() -> None:
    """That is why it is not the default."""
    recorder = EmaErrorRecorder(1500, 0.10)
    for _ in range(1500):
        recorder.note(False, 1000.0)
    assert not any(
        recorder.note(number % 2 == 0, 1000.0 if number % 2 else 50.0) for number in range(3000)
    )


def test_reset_keeps_the_average_of_a_full_window() -> None:
    recorder = EmaErrorRecorder(10, 0.5)
    for _ in range(10):
        recorder.note(False, 1000.0)
    recorder.reset()
    assert (recorder._latency_us, recorder._calls) == (1000.0, 10)
    young = EmaErrorRecorder(10, 0.5)
    young.note(False, 1000.0)
    young.reset()
    assert (young._latency_us, young._calls) == (0.0, 0)


def test_isolation_grows_and_is_reset() -> None:
    isolation = Isolation(0.010, 0.200)
    now = 100.0
    for expected_s in (0.010, 0.020, 0.040):
        assert isolation.begin(now) == pytest.approx(expected_s)
        isolation.end(now + expected_s)
        now += expected_s
    assert isolation.begin(now + 0.210) == pytest.approx(0.010)


def test_isolation_has_a_maximum() -> None:
    isolation = Isolation(0.010, 0.011)
    isolation.begin(100.0)
    isolation.end(100.0)
    assert isolation.begin(100.001) == pytest.approx(0.011)


def test_router_ejects_by_this_breaker_too() -> None:
    harness = RouterHarness(3, OPTIONS)
    bad = harness.servers[0]
    for _ in range(200):
        if bad.health.state != "up":
            break
        pick = harness.pick_of(bad)
        harness.turns.pass_s(0.001)
        pick.end(FAILED, None)
    assert bad.health.state == "ejected"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"isolation": 0}, "isolation must be more than 0"),
        ({"isolation": 40}, "max_isolation=30.0 is less than isolation=40"),
        ({"max_ejected": 1.5}, "max_ejected must be from 0 to 1"),
        ({"panic_below": -1}, "panic_below must be from 0 to 1"),
        ({"slow_start": float("inf")}, "slow_start must be at least 0 and finite"),
        ({"good_trials": 0}, "good_trials must be at least 1"),
        ({"window": 0}, "window must be more than 0"),
        ({"error_share": 0}, "error_share must be more than 0"),
        ({"min_calls": 0}, "min_calls must be at least 1"),
        ({"consecutive_errors": -1}, "consecutive_errors must be at least 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        OutlierDetection(**options)  # type: ignore[arg-type]


def test_options_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="isolation must be a number"):
        OutlierDetection(isolation="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="good_trials must be a whole number"):
        OutlierDetection(good_trials=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classifier"):
        OutlierDetection(classifier="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="short_window_error_percent"):
        EmaCircuitBreaker(short_window_error_percent=101)
