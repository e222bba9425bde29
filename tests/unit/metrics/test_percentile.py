"""Percentile: beside bRPC's own tests."""

from __future__ import annotations

from pybrpc.metrics import Percentile, Window
from pybrpc.metrics.recorder import FOLD_AT
from tests.fakes.metrics import SteppedSampler


def test_small_numbers_are_exact() -> None:
    percentile = Percentile("sizes")
    percentile << 1 << 5 << 30 << -3 << 4.4
    value = percentile.get_value()
    assert (value.count, value.total) == (5, 40)
    assert [percentile.get_number(ratio) for ratio in (0, 0.4, 0.6, 0.8, 1)] == [0, 1, 4, 5, 30]
    assert percentile.describe() == "[4,30]"
    assert [each.kind for each in percentile.metric_values()] == ["histogram"]


def test_many_numbers_are_folded_by_the_thread_that_records() -> None:
    percentile = Percentile()
    for number in range(3 * FOLD_AT):
        percentile.record(number)
    assert percentile.get_value().count == 3 * FOLD_AT


def test_window_has_what_was_recorded_in_it(sampler: SteppedSampler) -> None:
    percentile = Percentile()
    window = Window(percentile, 1)
    percentile.record(10)
    sampler.pass_seconds()
    percentile.record(20)
    sampler.pass_seconds()
    assert window.get_value().get_number(1) == 20
    assert window.get_value().count == 1
    assert list(window.metric_values()) == []
