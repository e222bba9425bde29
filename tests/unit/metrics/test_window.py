"""Window and PerSecond: beside bRPC's own tests."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.metrics import (
    Adder,
    IntRecorder,
    Maxer,
    PassiveStatus,
    PerSecond,
    Stat,
    Status,
    Window,
    describe_exposed,
)
from tests.fakes.metrics import SteppedSampler


def test_value_before_the_first_second_is_that_of_nothing() -> None:
    assert Window(Adder(), 5).get_value() == 0
    assert Window(IntRecorder(), 5).get_value() == Stat()
    assert Window(Maxer(), 5).get_value() is None
    assert PerSecond(Adder()).get_value() == 0


def test_rate_is_rounded_for_integers_only(sampler: SteppedSampler) -> None:
    whole, parts = Adder(), Adder()
    first, second = PerSecond(whole, 3, "whole_second"), PerSecond(parts, 3, "parts_second")
    whole.add(5)
    parts.add(5.5)
    sampler.pass_seconds(3)
    assert (first.get_value(), second.get_value()) == (2, pytest.approx(5.5 / 3))
    assert describe_exposed("whole_second") == "2"
    assert describe_exposed("parts_second") == "1.83333"
    assert (first.get_value(1), first.window_s) == (0, 3)


def test_rate_of_a_passive_status_is_that_of_its_growth(sampler: SteppedSampler) -> None:
    total = [100]
    rate = PerSecond(PassiveStatus(lambda: total[0]), 4)
    for _ in range(4):
        total[0] += 10
        sampler.pass_seconds()
    assert rate.get_value() == 10
    assert rate.series_value() == 10


def test_seconds_in_which_the_function_raises_are_skipped(sampler: SteppedSampler) -> None:
    answers: list[Any] = [0, ValueError("no"), "text", 30]

    def answer() -> Any:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    window = Window(PassiveStatus(answer), 10)
    sampler.pass_seconds(3)
    assert window.get_value() == 30
    assert window._variable.span(10) == (3.0, 30)


def test_rate_of_an_average_is_that_of_its_sum(sampler: SteppedSampler) -> None:
    recorder = IntRecorder()
    rate, window = PerSecond(recorder, 2), Window(recorder, 2)
    recorder << 10 << 30
    sampler.pass_seconds(2)
    assert rate.get_value() == 20
    assert window.series_value() == 20
    assert [each.value for each in window.metric_values()] == [20.0]


@pytest.mark.parametrize("variable", [Status(1), "text", None])
def test_variable_without_samples_has_no_window(variable: Any) -> None:
    for kind in (Window, PerSecond):
        with pytest.raises(TypeError, match="no samples"):
            kind(variable)


def test_extreme_has_no_rate() -> None:
    with pytest.raises(TypeError, match="Maxer has no rate"):
        PerSecond(Maxer())


def test_window_that_is_not_exposed_is_not_kept_alive(sampler: SteppedSampler) -> None:
    import gc
    import weakref

    adder = Adder()
    window = Window(adder, 5)
    gone = weakref.ref(window), weakref.ref(adder)
    del window, adder
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    sampler.pass_seconds()
