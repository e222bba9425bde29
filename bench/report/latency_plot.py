"""Percentiles of the latency: a line for each peer without slow requests, a dashed one with."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from bench.measures.latency import MEASURE, WITH, WITHOUT
from bench.report.figure_style import colour_of, svg
from bench.report.result import Result
from bench.samples import Cell

PERCENTILES = {
    "p50_us": "50 %",
    "p90_us": "90 %",
    "p99_us": "99 %",
    "p999_us": "99.9 %",
    "max_us": "100 %",
}


def write_latency_plot(path: Path, result: Result) -> None:
    with svg(path, MEASURE.title) as axes:
        for peer in result.plan.peers(MEASURE.name):
            for point, style in ((WITHOUT, "-"), (WITH, "--")):
                draw(axes, result, Cell(MEASURE.name, peer, point), style)
        axes.set_xticks(range(len(PERCENTILES)), list(PERCENTILES.values()))
        axes.set_xlabel("of the ordinary requests within")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel("ms")


def draw(axes: Axes, result: Result, cell: Cell, style: str) -> None:
    spreads = [result.samples.spread(cell, figure) for figure in PERCENTILES]
    medians = [spread.median / 1000 for spread in spreads if spread is not None]
    if medians:
        colour = colour_of(cell.peer, result.plan.peers(MEASURE.name))
        label = f"{cell.peer}, {cell.point}"
        axes.plot(range(len(medians)), medians, style, color=colour, label=label, marker="o")
