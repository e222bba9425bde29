"""Checks of the numbers that are options of breakers and budgets."""

from __future__ import annotations

import math


def check_share(name: str, value: object) -> None:
    """ValueError if `value` is not from 0 to 1, TypeError if it is no number."""
    if not 0 <= _number(name, value) <= 1:
        raise ValueError(f"{name} must be from 0 to 1, not {value!r}")


def check_seconds(name: str, value: object, is_zero_allowed: bool = True) -> None:
    """ValueError if `value` is negative or infinite, TypeError if it is no number."""
    number = _number(name, value)
    if not 0 <= number < math.inf or (number == 0 and not is_zero_allowed):
        least = "at least 0" if is_zero_allowed else "more than 0"
        raise ValueError(f"{name} must be {least} and finite, not {value!r}")


def check_count(name: str, value: object) -> None:
    """ValueError if `value` is less than 1, TypeError if it is no whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    return value
