"""units: numbers for people."""

from __future__ import annotations

import re
import time

import pytest

from pybrpc.builtin.units import count_text, duration_text, micros_text, size_text, time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12.3 ms"),
        (0.5, "0.5 s"),
        (59.9, "59.9 s"),
        (200, "3 m 20 s"),
        (7260, "2 h 1 m"),
        (100_000, "1 d 3 h"),
        (-2.0, "-2 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (2048, "2 KiB"), (5 << 20, "5 MiB"), (3 << 40, "3 TiB")],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


def test_counts() -> None:
    assert count_text(1234567) == "1,234,567"
    assert count_text(1234.5678) == "1234.57"


@pytest.mark.parametrize(("micros", "text"), [(12, "12 µs"), (1500, "1.5 ms"), (2e6, "2 s")])
def test_microseconds(micros: float, text: str) -> None:
    assert micros_text(micros) == text


def test_times_are_as_c_plus_plus_prints_them() -> None:
    seconds = time.mktime((2026, 11, 29, 7, 6, 42, 0, 0, -1)) + 0.5
    assert time_text(seconds) == "2026/11/29-07:06:42.500000"
    assert time_text(seconds, 0) == "2026/11/29-07:06:42"
    almost = int(seconds) + 0.9999995
    assert re.fullmatch(r"[0-9/]{10}-07:06:42\.99999[0-9]", time_text(almost))
