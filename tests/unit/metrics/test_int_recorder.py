"""IntRecorder and Stat: beside bRPC's own tests."""

from __future__ import annotations

from pybrpc.metrics import IntRecorder, Stat
from pybrpc.metrics.recorder import FOLD_AT


def test_average_is_that_of_all() -> None:
    recorder = IntRecorder("sizes")
    for number in range(2 * FOLD_AT):
        recorder.record(number)
    assert recorder.average() == (2 * FOLD_AT - 1) / 2
    assert recorder.describe() == str(FOLD_AT - 1)
    assert [each.value for each in recorder.metric_values()] == [FOLD_AT - 0.5]
    assert recorder.series_value() == FOLD_AT - 1
    assert recorder.reset().count == 2 * FOLD_AT
    assert recorder.get_value() == Stat()


def test_numbers_are_rounded() -> None:
    recorder = IntRecorder()
    recorder << 1.6 << 2.4
    assert recorder.get_value() == Stat(4, 2)


def test_nothing_recorded_is_zero() -> None:
    assert Stat().average_int() == 0
    assert Stat().average() == 0.0
    assert IntRecorder().describe() == "0"


def test_stats_are_added_and_subtracted() -> None:
    assert Stat(3, 2) + Stat(4, 1) == Stat(7, 3)
    assert Stat(7, 3) - Stat(4, 1) == Stat(3, 2)
