"""Deadlines: points on the monotonic clock, in seconds, as floats.

A timeout becomes a deadline once, where a call begins; all lower functions take the deadline.
`NEVER` is the deadline of a call without a timeout.
"""

from __future__ import annotations

import math
import time

from pybrpc.errors import InvalidTimeoutError as InvalidTimeoutError

NEVER = math.inf

LONGEST_TIMEOUT_S = 1e9
"""Seconds; about 31 years. A longer timeout is taken as this one: clocks, locks and C integers need
not cope with it."""


def deadline_after(timeout_s: float | None) -> float:
    """The deadline that is `timeout_s` seconds from now; `None` is `NEVER`."""
    return NEVER if timeout_s is None else time.monotonic() + timeout_s


def remaining_s(deadline: float) -> float | None:
    """The seconds left, at least 0; `None` for `NEVER`. `Thread.join` takes the same values."""
    return None if deadline == NEVER else max(0.0, deadline - time.monotonic())


def checked_timeout_s(timeout_s: float | None, name: str = "timeout") -> float | None:
    """`timeout_s` as a float, or `None` for no limit; an error with advice if it is invalid.

    A timeout above `LONGEST_TIMEOUT_S` is taken as that.
    """
    if timeout_s is None:
        return None
    if (
        isinstance(timeout_s, bool)
        or not isinstance(timeout_s, int | float)
        or timeout_s != timeout_s
    ):
        raise TypeError(
            f"{name} must be seconds as a number, or None for no limit, not {timeout_s!r}"
        )
    if timeout_s < 0:
        raise InvalidTimeoutError(f"{name} must be at least 0 seconds, not {timeout_s!r}")
    if timeout_s > LONGEST_TIMEOUT_S:
        return None if timeout_s == NEVER else LONGEST_TIMEOUT_S
    return float(timeout_s)


def milliseconds_text(timeout_s: float | None) -> str:
    """A timeout for texts of errors: whole milliseconds, as C++ bRPC has it, and "0.1" for less
    than one; "0" for none."""
    milliseconds = (timeout_s or 0.0) * 1000
    return f"{milliseconds:.3g}" if 0 < milliseconds < 1 else str(int(milliseconds))
