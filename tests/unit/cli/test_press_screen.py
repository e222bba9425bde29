"""The figures of a press."""

from __future__ import annotations

from pybrpc.cli.press_screen import percentiles_of
from pybrpc.metrics.histogram import Histogram


def test_no_percentile_is_above_the_maximum() -> None:
    recorded = Histogram({700: 1}, 103_000)
    assert recorded.get_number(0.999) > 5
    assert percentiles_of(recorded, 5, [0.5, 0.999]) == {"p50": 5, "p99.9": 5}
    assert percentiles_of(Histogram(), 5, [0.5]) == {"p50": None}
