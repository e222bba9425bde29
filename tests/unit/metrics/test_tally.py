"""tally_of: both of its ways have the results of the definition."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.metrics.histogram import bucket_of
from pybrpc.metrics.numbers import MAX_INT
from pybrpc.metrics.tally import Tally, tally_of, tally_of_usual

LIMIT = 2**40 - 1
USUAL = st.lists(st.integers(0, LIMIT) | st.integers(0, 100), min_size=1)


def parts(tally: Tally | None) -> tuple[int, int, dict[int, int]]:
    assert tally is not None
    assert tally.count == sum(tally.buckets.values())
    return tally.total, tally.largest, tally.buckets


def defined(values: list[int]) -> tuple[int, int, dict[int, int]]:
    return sum(values), max(values), dict(Counter(map(bucket_of, values)))


@given(USUAL)
def test_usual_values_have_the_buckets_of_the_histogram(values: list[int]) -> None:
    assert parts(tally_of_usual(values)) == parts(tally_of(values)) == defined(values)


@pytest.mark.parametrize("power", range(41))
def test_values_about_powers_of_two_are_in_their_buckets(power: int) -> None:
    values = [max(2**power + more, 0) for more in (-2, -1, 0, 1) if 2**power + more <= LIMIT]
    assert parts(tally_of_usual(values)) == defined(values)


@pytest.mark.parametrize("unusual", [-1, LIMIT + 1, MAX_INT, MAX_INT + 1, -(2**70), 2**70])
def test_other_values_count_as_the_nearest_that_is_allowed(unusual: int) -> None:
    values = [5, unusual, 7]
    assert tally_of_usual(values) is None
    assert parts(tally_of(values)) == defined([5, min(max(unusual, 0), MAX_INT), 7])
