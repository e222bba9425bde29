"""ServiceRate: calls per second, from concurrency and latency."""

from __future__ import annotations

import pytest

from pybrpc.server.limiters.service_rate import ServiceRate, mean_concurrency, mean_latency_s


def noted(*pairs: tuple[float, float]) -> float:
    rate = ServiceRate()
    for concurrency, latency_s in pairs:
        rate.note(concurrency, latency_s)
    return rate.per_s


def test_rate_is_unknown_before_the_first_calls() -> None:
    assert ServiceRate().per_s == 0.0


def test_rate_is_that_of_the_first_calls_then() -> None:
    assert noted((8, 0.010)) == pytest.approx(800)


def test_greater_rate_counts_soon() -> None:
    assert noted((1, 0.010), *[(8, 0.010)] * 6) == pytest.approx(800, rel=0.02)


def test_full_server_that_has_become_slower_is_noticed() -> None:
    assert noted((20, 0.025), *[(20, 0.100)] * 10) == pytest.approx(200, rel=0.1)


def test_server_without_load_keeps_its_rate_for_a_time() -> None:
    assert noted((20, 0.025), *[(1, 0.010)] * 5) > 700
    assert noted((20, 0.025), *[(1, 0.010)] * 400) < 150


def test_calls_that_take_no_time_are_no_division_by_zero() -> None:
    assert noted((1, 0.0)) == pytest.approx(1e6)


def test_time_of_failed_calls_is_added_to_that_of_the_others() -> None:
    samples = [(0.010, 1, False)] * 5 + [(0.030, 1, True)] * 5
    assert mean_latency_s(samples) == pytest.approx(0.040)


def test_calls_that_fail_at_once_make_no_server_faster() -> None:
    samples = [(0.010, 1, False)] * 5 + [(0.0, 1, True)] * 95
    assert mean_latency_s(samples) == pytest.approx(0.010)


def test_calls_of_which_none_succeeds_count_twice() -> None:
    assert mean_latency_s([(0.010, 1, True)] * 5) == pytest.approx(0.020)


def test_concurrency_is_the_mean() -> None:
    assert mean_concurrency([(0.0, 1, False), (0.0, 4, True)]) == 2.5
