"""The screen of the bench: the current measurement, its progress, and at the end all tables."""

from __future__ import annotations

import sys
from typing import Self

from rich import progress
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from bench.figures import SHOWN, digits
from bench.measures import MEASURES
from bench.rounds import Plan
from bench.samples import Cell, Sample, Samples

FILE_WIDTH = 110
"""Characters a line of a table may have where there is no terminal."""
MOST_WITH_RANGES = 4
"""With more peers a table has medians alone, or it would be wider than a terminal."""


class Progress:
    """A live table, on stderr, so that stdout has only what was found."""

    def __init__(self, plan: Plan, samples: Samples, is_quiet: bool) -> None:
        self._plan = plan
        self._samples = samples
        self._is_quiet = is_quiet
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
        )
        self._task = self._bar.add_task("starting", total=plan.length)
        self._live = Live(self._bar, console=Console(stderr=True), transient=True)

    def update(self, sample: Sample) -> None:
        """Show that it was measured; without a terminal, as a line on stderr."""
        if not self._is_quiet and not self._live.is_started:
            print(line(self._samples, sample), file=sys.stderr, flush=True)
        self._bar.update(self._task, advance=1, description=str(sample.cell))
        if not self._is_quiet:
            grid = table(self._plan, self._samples, sample.cell.measure)
            self._live.update(Group(grid, self._bar))

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()


def line(samples: Samples, sample: Sample) -> str:
    figure = MEASURES[sample.cell.measure].tables[0]
    found = f"{entry(samples, sample.cell, figure)} ({SHOWN[figure].title})"
    return f"{sample.cell} {sample.failure or found}"


def show_tables(plan: Plan, samples: Samples) -> None:
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    for measure in plan.measures:
        console.print(table(plan, samples, measure))
    for cell, failure in samples.failures().items():
        console.print(f"{cell}: {failure}", highlight=False, markup=False)
    for peer, reason in plan.absent.items():
        console.print(f"{peer} left out: {reason}", highlight=False, markup=False)


def table(plan: Plan, samples: Samples, measure: str) -> Table:
    """The first figure of a measure: a row for each point, a column for each peer."""
    found = MEASURES[measure]
    figure = found.tables[0]
    peers = plan.peers(measure)
    is_narrow = len(peers) <= MOST_WITH_RANGES
    grid = Table(title=f"{found.title}: {SHOWN[figure].title}, median" + " [range]" * is_narrow)
    grid.add_column(found.axis)
    for peer in peers:
        grid.add_column(peer, justify="right")
    for point in plan.points(measure):
        cells = [Cell(measure, peer, point) for peer in peers]
        grid.add_row(point, *(entry(samples, cell, figure, is_narrow) for cell in cells))
    return grid


def entry(samples: Samples, cell: Cell, figure: str, with_range: bool = True) -> str:
    """ "26.1 [25.3..27.0]", "26.1" or nothing, as the rounds so far have given."""
    spread = samples.spread(cell, figure)
    if spread is None:
        return "failed" if cell in samples.failures() else ""
    divisor = SHOWN[figure].divisor
    if spread.low == spread.high or not with_range:
        return digits(spread.median / divisor)
    median, low, high = (digits(n / divisor) for n in (spread.median, spread.low, spread.high))
    return f"{median} [{low}..{high}]"
