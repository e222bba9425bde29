"""Series: how seconds become minutes, hours and days, and of which variables they are kept."""

from __future__ import annotations

import json

import pytest

from pybrpc.metrics import (
    Adder,
    Maxer,
    PassiveStatus,
    PerSecond,
    Status,
    Window,
    describe_series_exposed,
    start_series,
    stop_series,
)
from pybrpc.metrics.series import MAX_VECTOR, POINTS, SERIES, Series, SeriesOp, VariableSeries
from tests.fakes.metrics import SteppedSampler


def values_of(name: str) -> list[float]:
    text = describe_series_exposed(name)
    assert text is not None
    parsed = json.loads(text)
    assert parsed["label"] == "trend"
    assert [place for place, _ in parsed["data"]] == list(range(POINTS))
    return [value for _, value in parsed["data"]]


@pytest.mark.parametrize(
    ("op", "minute"), [(SeriesOp.ADD, 30), (SeriesOp.MAX, 59), (SeriesOp.MIN, 0)]
)
def test_sixty_seconds_become_a_minute(op: SeriesOp, minute: int) -> None:
    series = Series(op)
    for second in range(60):
        series.append(second)
    points = series.points()
    assert points[30 + 24 + 59] == minute  # an average of 29.5 is rounded, as in C++
    assert points[-60:] == list(range(60))
    series.append(100)
    assert series.points()[-60:] == [*range(1, 60), 100]


def test_minutes_become_hours_and_hours_days() -> None:
    series = Series(SeriesOp.ADD)
    for _ in range(60 * 60 * 24 + 1):
        series.append(7)
    points = series.points()
    assert points[:30] == [0] * 29 + [7]
    assert points[30:54] == [7] * 24


def test_floats_are_not_rounded() -> None:
    series = Series(SeriesOp.ADD)
    for second in range(60):
        series.append(second / 2)
    assert series.points()[30 + 24 + 59] == 14.75


def test_nothing_is_kept_before_start(sampler: SteppedSampler) -> None:
    Adder("adder")
    sampler.pass_seconds()
    assert describe_series_exposed("adder") is None
    assert not SERIES.is_started


def test_series_are_kept_of_each_kind(sampler: SteppedSampler) -> None:
    adder, maxer = Adder("adder"), Maxer("maxer")
    Window(maxer, 5, "window")
    PerSecond(adder, 5, "rate")
    Status("text", "text")
    PassiveStatus(lambda: [1, 2.5], "vector")
    start_series()
    adder << 5
    maxer << 5
    sampler.pass_seconds(2)
    adder << 6
    sampler.pass_seconds()
    assert values_of("adder")[-3:] == [5, 5, 11]
    assert values_of("maxer")[-3:] == [5, 5, 5]
    assert len(values_of("window")) == len(values_of("rate")) == POINTS
    assert values_of("text")[-3:] == [0, 0, 0]
    vectors = json.loads(describe_series_exposed("vector") or "")
    assert [(each["label"], each["data"][-1]) for each in vectors] == [
        ("Vector[0]", [173, 1]),
        ("Vector[1]", [173, 2.5]),
    ]
    assert describe_series_exposed("unknown") is None


def test_series_end_with_the_name(sampler: SteppedSampler) -> None:
    start_series()
    adder = Adder("adder")
    adder << 5
    sampler.pass_seconds()
    adder.hide()
    sampler.pass_seconds()
    Adder("adder")
    sampler.pass_seconds()
    assert values_of("adder")[-2:] == [0, 0]
    stop_series()
    assert describe_series_exposed("adder") is None
    sampler.pass_seconds()
    assert describe_series_exposed("adder") is None


def test_stopping_and_starting_again_within_a_second_goes_on(sampler: SteppedSampler) -> None:
    status = Status(3, "status")
    start_series()
    stop_series()
    start_series()
    sampler.pass_seconds(2)
    assert values_of("status")[-3:] == [0, 3, 3]
    assert len(sampler._sampled) == 1
    assert status.name


def test_number_of_series_is_limited(sampler: SteppedSampler) -> None:
    start_series(max_series=2)
    for name in "abc":
        Adder(name)
    sampler.pass_seconds()
    assert [describe_series_exposed(name) is None for name in "abc"] == [False, False, True]
    with pytest.raises(ValueError, match="at least 1"):
        start_series(0)


def test_function_that_raises_leaves_other_series_alone(sampler: SteppedSampler) -> None:
    def fail() -> int:
        raise SystemExit

    PassiveStatus(fail, "fails")
    Status(3, "works")
    start_series()
    sampler.pass_seconds(2)
    assert values_of("works")[-2:] == [3, 3]
    assert describe_series_exposed("fails") is None


def test_what_is_no_number_is_zero_and_long_lists_are_left_out() -> None:
    series = VariableSeries(SeriesOp.ADD)
    for value in (float("nan"), float("inf"), None, 2**2000):
        series.append(value)
    assert json.loads(series.describe() or "")["data"][-4:] == [[p, 0] for p in range(170, 174)]
    long = VariableSeries(SeriesOp.ADD)
    long.append([1] * (MAX_VECTOR + 1))
    long.append([])
    assert long.describe() is None
