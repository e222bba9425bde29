from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.base.backoff import Backoff, InvalidBackoffError
from pybrpc.errors import PyBrpcError

backoffs = st.builds(
    lambda first_s, factor, times, jitter: Backoff(first_s, factor, first_s * times, jitter),
    st.floats(1e-6, 1e3),
    st.floats(1, 100),
    st.floats(1, 1e6),
    st.floats(0, 1),
)


def least() -> float:
    """A source of random numbers that shortens no delay."""
    return 0.0


def test_delays_grow_up_to_max_s() -> None:
    backoff = Backoff(first_s=1, factor=2, max_s=10, jitter=0)
    assert [backoff.delay_s(attempt, random.random) for attempt in range(6)] == [1, 2, 4, 8, 10, 10]


def test_default_backoff_has_the_documented_delays() -> None:
    delays = [Backoff().delay_s(attempt, least) for attempt in range(12)]
    assert delays[:3] == pytest.approx([0.1, 0.16, 0.256])
    assert delays[-1] == 10


def test_jitter_is_the_largest_part_that_is_taken_away() -> None:
    backoff = Backoff(first_s=1, jitter=0.5)
    assert [backoff.delay_s(0, lambda part=part: part) for part in (0, 0.5, 1)] == [1, 0.75, 0.5]


@given(backoffs, st.integers(0, 10**9), st.integers())
def test_delays_are_within_their_limits_for_all_numbers(
    backoff: Backoff, attempt: int, seed: int
) -> None:
    longest = backoff.delay_s(attempt, least)
    delay = backoff.delay_s(attempt, random.Random(seed).random)
    assert longest <= backoff.max_s
    assert longest * (1 - backoff.jitter) * (1 - 1e-9) <= delay <= longest


@given(backoffs, st.integers(0, 10**6))
def test_delays_without_jitter_never_shrink(backoff: Backoff, attempt: int) -> None:
    assert backoff.delay_s(attempt, least) <= backoff.delay_s(attempt + 1, least)


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ({"first_s": 0}, "first_s must be greater than 0, not 0"),
        ({"first_s": -1.0}, "first_s must be greater than 0"),
        ({"factor": 0.5}, "factor must be at least 1"),
        ({"first_s": 2, "max_s": 1}, "max_s must be at least first_s=2, not 1"),
        ({"max_s": math.inf}, "max_s must be at least"),
        ({"max_s": math.nan}, "max_s must be at least"),
        ({"jitter": 1.5}, "jitter must be from 0 to 1"),
        ({"jitter": -0.1}, "jitter must be from 0 to 1"),
        ({"factor": "2"}, "factor must be a number, not '2'"),
        ({"first_s": True}, "first_s must be a number, not True"),
        ({"max_s": None}, "max_s must be a number, not None"),
    ],
)
def test_backoff_refuses_invalid_numbers(numbers: dict[str, float], what: str) -> None:
    with pytest.raises(InvalidBackoffError, match=what) as caught:
        Backoff(**numbers)
    assert isinstance(caught.value, PyBrpcError)
