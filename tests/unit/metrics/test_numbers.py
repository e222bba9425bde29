"""Numbers that users record, and windows."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from pybrpc.metrics.numbers import integer_of, number_of, window_of


class Index:
    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1), (2, 2), (2.5, 2.5), (Index(), 7), (Decimal("1.5"), 1.5), (Fraction(1, 4), 0.25)],
)
def test_numbers_become_plain_ones(value: object, number: float) -> None:
    assert number_of(value) == number
    assert type(number_of(value)) in (int, float)


@pytest.mark.parametrize("value", ["1", b"1", None, [1], 1j])
def test_anything_else_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        number_of(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), Decimal("NaN")])
def test_number_that_is_not_finite_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="finite"):
        number_of(value)


def test_integers_are_rounded() -> None:
    assert [integer_of(value) for value in (1.4, 1.6, -1.6, 3)] == [1, 2, -2, 3]


def test_window_is_one_second_to_one_hour() -> None:
    assert (window_of(1), window_of(3600)) == (1, 3600)
    for wrong in (0, -1, 3601):
        with pytest.raises(ValueError, match="1 to 3600"):
            window_of(wrong)
    for kind in (1.5, "1", True, None):
        with pytest.raises(TypeError, match="int of seconds"):
            window_of(kind)
