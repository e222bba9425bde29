"""Plots of series. The script draws anew each second what is drawn here first, for all clients.

A series is kept once somebody has looked at a page with plots: until then none costs anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pybrpc.base.flag_values import FLAGS
from pybrpc.builtin.html import Html, tag
from pybrpc.metrics.registry import exposed
from pybrpc.metrics.series import SERIES, SPANS

MAX_LINES = 4


def _set_save_series(is_saved: bool) -> None:
    if not is_saved:
        SERIES.stop()


SAVE_SERIES = FLAGS.define(
    "save_series",
    True,
    "Keep the values of each variable over the last month for plots, from the first look at one",
    on_change=_set_save_series,
)


def keep_series() -> None:
    """Somebody looks at plots: keep series from now on, unless the flag says no."""
    if SAVE_SERIES.value and not SERIES.is_started:
        SERIES.start()


def last_minute(name: str) -> list[list[float]]:
    """The values of the last 60 seconds of a variable: one list, or one for each part of a list of
    numbers. Empty if no series is kept."""
    text = exposed.describe_series_exposed(name)
    if text is None:
        return []
    found = json.loads(text)
    series = found if isinstance(found, list) else [found]
    return [[pair[1] for pair in each["data"][-SPANS[0] :]] for each in series[:MAX_LINES]]


def sparkline(name: str) -> Html:
    """A small plot of the last minute, for a cell of a table."""
    lines = last_minute(name)
    drawn = _svg(lines[:1], 112, 28, "spark") if lines else None
    return tag("div", drawn, class_="spark", data_series=name)


def plot(name: str) -> Html:
    """A large plot of a variable."""
    lines = last_minute(name)
    drawn = _svg(lines, 600, 150, None) if lines else None
    note = None if lines else tag("p", "No values yet: the plot begins now.", class_="soft")
    return tag("div", drawn, note, class_="plot", data_series=name)


def _svg(lines: Sequence[Sequence[float]], width: int, height: int, kind: str | None) -> Html:
    values = [value for line in lines for value in line]
    least, most = min(0, *values), max(0, *values)
    span = (most - least) or 1

    def path(line: Sequence[float]) -> str:
        step = width / max(len(line) - 1, 1)
        places = (
            (at * step, height - 2 - (value - least) / span * (height - 4))
            for at, value in enumerate(line)
        )
        return "L".join(f"{x:.1f} {y:.1f}" for x, y in places)

    drawn = [
        tag("path", class_=f"line l{place}", d=f"M{path(line)}") for place, line in enumerate(lines)
    ]
    if len(lines) == 1:
        area = f"M{path(lines[0])}L{width} {height}L0 {height}Z"
        drawn.insert(0, tag("path", class_="area", d=area))
    return tag(
        "svg",
        drawn,
        viewBox=f"0 0 {width} {height}",
        preserveAspectRatio="none",
        class_=kind,
        role="img",
        aria_label="the last minute",
    )
