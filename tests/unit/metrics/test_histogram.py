"""Histogram: its buckets, their error, merging."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.metrics import histogram
from pybrpc.metrics.histogram import (
    MAX_BUCKETS,
    MAX_RELATIVE_ERROR,
    Histogram,
    Ranking,
    added,
    bucket_of,
    buckets_of,
    middle_of,
    taken_out,
    upper_bound,
)

VALUES = st.integers(0, 2**63 - 1) | st.integers(0, 5000)


def histogram_of(values: list[int]) -> Histogram:
    return Histogram(buckets_of(values, max(values, default=0)), sum(values))


@given(VALUES)
def test_value_is_in_its_bucket(value: int) -> None:
    bucket = bucket_of(value)
    assert 0 <= bucket < MAX_BUCKETS
    assert value <= upper_bound(bucket)
    assert bucket == 0 or value > upper_bound(bucket - 1)


def test_bounds_ascend_without_a_gap() -> None:
    bounds = [upper_bound(bucket) for bucket in range(MAX_BUCKETS)]
    assert bounds == sorted(set(bounds))
    assert bounds[:40] == [*range(33), 34, 36, 38, 40, 42, 44, 46]
    assert {2**power for power in range(64)} <= set(bounds)
    assert bounds[-1] == 2**63


@given(VALUES)
def test_middle_of_a_bucket_is_near_each_of_its_values(value: int) -> None:
    assert abs(middle_of(bucket_of(value)) - value) <= MAX_RELATIVE_ERROR * value


def test_values_outside_the_limits_count_as_the_limits() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(2**80) == bucket_of(2**63 - 1) == MAX_BUCKETS - 1


@given(st.lists(VALUES, min_size=1), st.floats(0, 1))
def test_percentile_is_near_that_of_the_sorted_values(values: list[int], ratio: float) -> None:
    rank = max(math.ceil(ratio * len(values)), 1)
    exact = sorted(values)[rank - 1]
    found = histogram_of(values).get_number(ratio)
    assert abs(found - exact) <= MAX_RELATIVE_ERROR * exact


@given(st.lists(VALUES), st.lists(VALUES))
def test_merging_is_recording_all(first: list[int], second: list[int]) -> None:
    merged = histogram_of(first) + histogram_of(second)
    assert merged == histogram_of(first + second)
    assert merged.count == len(first) + len(second)
    assert merged - histogram_of(second) == histogram_of(first)


@given(st.lists(st.integers(0, 100_000)))
def test_cumulative_counts_at_powers_of_two_are_exact(values: list[int]) -> None:
    bounds = [2**power for power in range(18)]
    counts = histogram_of(values).count_up_to(bounds)
    assert counts == [sum(value <= bound for value in values) for bound in bounds]


def test_empty_histogram_has_no_number() -> None:
    assert Histogram().get_number(0.5) == 0
    assert Histogram().count == 0


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_ratio_outside_of_0_to_1_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio"):
        histogram_of([1]).get_number(ratio)


def test_known_maximum_is_not_exceeded() -> None:
    ranking = Ranking(buckets_of([1000], 1000), 1000)
    assert ranking.get_number(1) == 1000
    assert Ranking(buckets_of([1000], 1000)).get_number(1) > 1000


def test_buckets_that_get_empty_are_removed() -> None:
    assert taken_out({1: 2, 2: 3}, {1: 2, 2: 1, 9: 1}) == {2: 2}
    assert added({1: 2}, {1: 1, 2: 3}) == {1: 3, 2: 3}


def test_table_of_small_values_has_their_buckets() -> None:
    assert tuple(map(bucket_of, range(4096))) == histogram._BUCKETS
