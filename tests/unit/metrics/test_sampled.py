"""SampledVariable: which samples are kept, and what a window sees."""

from __future__ import annotations

import pytest

from pybrpc.metrics import Adder, Maxer, Window
from pybrpc.metrics.numbers import MAX_WINDOW_S
from tests.fakes.metrics import SteppedSampler


def test_no_sample_is_taken_without_a_window(sampler: SteppedSampler) -> None:
    adder = Adder()
    sampler.pass_seconds(3)
    assert adder.span(5) is None


def test_first_second_counts(sampler: SteppedSampler) -> None:
    adder = Adder()
    adder.add(100)  # before the window: not in it
    adder.keep_samples(5)
    adder.add(3)
    sampler.pass_seconds()
    assert adder.span(5) == (1.0, 3)


def test_samples_are_those_of_the_largest_window(sampler: SteppedSampler) -> None:
    adder = Adder()
    adder.keep_samples(2)
    adder.keep_samples(4)
    adder.keep_samples(1)
    for second in range(1, 11):
        adder.add(second)
        sampler.pass_seconds()
    assert adder.span(4) == (4.0, 7 + 8 + 9 + 10)
    assert adder.span(2) == (2.0, 9 + 10)
    assert adder.span(60) == (4.0, 7 + 8 + 9 + 10)  # all there is
    assert len(adder._samples) == 5


def test_combined_samples_are_those_of_the_window(sampler: SteppedSampler) -> None:
    maxer = Maxer()
    maxer.keep_samples(3)
    for number in (9, 5, 7):
        maxer.record(number)
        sampler.pass_seconds()
    assert [maxer.span(seconds) for seconds in (1, 2, 3)] == [(1.0, 7), (2.0, 7), (3.0, 9)]
    sampler.pass_seconds(3)
    assert maxer.span(3) == (3.0, None)


@pytest.mark.parametrize("wrong", [0, -1, MAX_WINDOW_S + 1])
def test_wrong_window_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="3600"):
        Window(Adder(), wrong)
