"""A figure over the points of a measure: a line for each peer, with the range of the rounds."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from bench.figures import SHOWN
from bench.measures import MEASURES
from bench.report.figure_style import colour_of, svg
from bench.report.result import Result
from bench.samples import Cell


def write_line_plot(path: Path, result: Result, name: str, figure: str) -> None:
    peers, points = result.plan.peers(name), result.plan.points(name)
    with svg(path, MEASURES[name].title) as axes:
        for peer in peers:
            draw(axes, result, [Cell(name, peer, point) for point in points], figure)
        axes.set_xticks(range(len(points)), points)
        axes.set_xlabel(MEASURES[name].axis)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel(SHOWN[figure].title)


def draw(axes: Axes, result: Result, cells: list[Cell], figure: str) -> None:
    """One line, with gaps where nothing was measured."""
    divisor = SHOWN[figure].divisor
    found = [
        (position, spread.median / divisor, spread.low / divisor, spread.high / divisor)
        for position, cell in enumerate(cells)
        if (spread := result.samples.spread(cell, figure))
    ]
    if not found:
        return
    positions, medians, lows, highs = zip(*found, strict=True)
    peer = cells[0].peer
    below = [median - low for median, low in zip(medians, lows, strict=True)]
    above = [high - median for median, high in zip(medians, highs, strict=True)]
    axes.errorbar(
        positions,
        medians,
        yerr=[below, above],
        label=peer,
        color=colour_of(peer, result.plan.peers(cells[0].measure)),
        linestyle="--" if peer.startswith(("socket", "protocol")) else "-",
        marker="o",
        markersize=4,
        capsize=2,
    )
