from __future__ import annotations

import math
import sys

import pytest

from pybrpc.base import deadline as module
from pybrpc.base.deadline import (
    NEVER,
    InvalidTimeoutError,
    checked_timeout_s,
    deadline_after,
    milliseconds_text,
    remaining_s,
)
from pybrpc.testing.step_dispatcher import FakeClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock(1000.0)
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_deadline_is_the_timeout_from_now(clock: FakeClock) -> None:
    deadline = deadline_after(2.5)
    assert deadline == 1002.5
    assert remaining_s(deadline) == 2.5
    clock.advance(2)
    assert remaining_s(deadline) == 0.5
    clock.advance(2)
    assert remaining_s(deadline) == 0


def test_timeout_none_gives_the_deadline_never(clock: FakeClock) -> None:
    assert deadline_after(None) == NEVER == math.inf
    assert remaining_s(NEVER) is None


HUGE = [1.1e9, sys.maxsize, 2**70, 10**400, sys.float_info.max]


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), (NEVER, None), (3, 3.0), (0, 0.0), *((huge, 1e9) for huge in (1e9, *HUGE))],
)
def test_checked_timeout_accepts_numbers_and_none(
    given: float | None, expected: float | None
) -> None:
    checked = checked_timeout_s(given)
    assert checked == expected
    assert checked is None or type(checked) is float


@pytest.mark.parametrize("given", [True, "1", math.nan, [1]])
def test_checked_timeout_refuses_other_types(given: object) -> None:
    with pytest.raises(TypeError, match="connect_timeout must be seconds"):
        checked_timeout_s(given, "connect_timeout")  # type: ignore[arg-type]


def test_checked_timeout_refuses_a_negative_one() -> None:
    with pytest.raises(InvalidTimeoutError, match="at least 0"):
        checked_timeout_s(-0.1)


@pytest.mark.parametrize(
    ("timeout_s", "text"),
    [
        (None, "0"),
        (0, "0"),
        (0.5, "500"),
        (0.0015, "1"),
        (0.001, "1"),
        (0.0001, "0.1"),
        (0.000_012_34, "0.0123"),
    ],
)
def test_timeout_is_whole_milliseconds_unless_it_is_less_than_one(
    timeout_s: float | None, text: str
) -> None:
    assert milliseconds_text(timeout_s) == text
