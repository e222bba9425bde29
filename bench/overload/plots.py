"""The picture of `python -m bench.overload --plots DIR`."""

from __future__ import annotations

from pathlib import Path

from bench.overload.limiters import LIMITERS
from bench.overload.scenarios import USUAL, capacity_per_s
from bench.overload.simulation import Scenario, simulate
from bench.report.figure_style import BARE, COOL, OURS, svg

LOADS = (25, 50, 75, 90, 100, 110, 125, 150, 175, 200, 250, 300)
"""In percent of what the server can do."""


def write_plots(folder: Path, seed: int) -> None:
    title = "calls that are answered in time, by load and limit"
    with svg(folder / "overload-goodput.svg", title) as axes:
        colours = (BARE[0], COOL[0], OURS[0], OURS[1])
        for (name, new_limiter), colour in zip(LIMITERS.items(), colours, strict=True):
            found = []
            for percent in LOADS:
                scenario = Scenario(((0, percent * 8.0),), USUAL, seconds=30.0)
                outcome = simulate(scenario, new_limiter(), seed)
                found.append(100 * outcome.goodput_per_s / capacity_per_s(scenario))
            axes.plot(LOADS, found, label=name, color=colour, marker="o", markersize=4)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("requests, % of what the server can answer")
        axes.set_ylabel("% of what the server can answer")
