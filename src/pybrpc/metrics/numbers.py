"""Checks of the numbers that users record."""

from __future__ import annotations

import math
import operator
from typing import SupportsFloat, SupportsIndex

MAX_INT = 2**63 - 1
MIN_INT = -(2**63)
"""Recorded integers outside of these limits count as the limit (C++ has the limits of int)."""


def number_of(value: object) -> int | float:
    """`value` as an int or a float, numbers of NumPy too. TypeError if it is not a number;
    ValueError if it is NaN or infinite: no sum would recover from it."""
    if isinstance(value, SupportsIndex):
        return operator.index(value)
    if not isinstance(value, SupportsFloat) or isinstance(value, str | bytes):
        raise TypeError(f"a number is needed, not {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a finite number is needed, not {number}")
    return number


def integer_of(value: object) -> int:
    """`number_of(value)`, rounded to an int."""
    return round(number_of(value))


def window_of(window_s: object) -> int:
    """`window_s`, if it is 1 to 3600 (MAX_SECONDS_LIMIT in bvar/detail/sampler.h)."""
    if isinstance(window_s, bool) or not isinstance(window_s, int):
        raise TypeError(f"a window is an int of seconds, not {type(window_s).__name__}")
    if not 1 <= window_s <= MAX_WINDOW_S:
        raise ValueError(f"a window has 1 to {MAX_WINDOW_S} seconds, not {window_s}")
    return window_s


MAX_WINDOW_S = 3600
DEFAULT_WINDOW_S = 10
"""Seconds of a window if the user says nothing (-bvar_dump_interval)."""
MICROSECONDS = 1_000_000
"""In a second."""
