"""Plots of characters, and durations for people."""

from __future__ import annotations

import pytest

from pybrpc.cli.plot import duration_text, plot, sparkline

pytestmark = pytest.mark.same_everywhere


def test_highest_value_fills_its_place() -> None:
    assert sparkline([0, 1, 2, 4], 10) == " ▂▄█"
    assert sparkline([9, 0, 8], 2) == " █"
    assert sparkline([], 5) == ""
    assert sparkline([0, 0, -1], 5) == "   "


def test_bars_grow_over_lines() -> None:
    assert plot([4, 2, 1, 0], 10, 2) == ["█   ", "██▄ "]
    assert plot([], 10, 2) == ["", ""]


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0 µs"),
        (999, "999 µs"),
        (1234, "1.23 ms"),
        (12345, "12.3 ms"),
        (123456, "123 ms"),
        (1234567, "1.23 s"),
    ],
)
def test_durations_have_three_digits(us: float, text: str) -> None:
    assert duration_text(us) == text
