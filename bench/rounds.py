"""The order of the measurements: every peer takes its turn at every point in every round.

What else happens on the machine then hits all of them alike, and a ratio compares neighbours.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.child_process import ChildFailedError
from bench.measures import MEASURES
from bench.samples import Cell, Sample
from bench.site import Site
from bench.work import Window

FAILURES = (ChildFailedError, OSError, subprocess.SubprocessError)
"""Exceptions of a peer that doesn't work."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurements of a run, their number and their duration."""

    cells: Sequence[Cell]
    rounds: int
    window: Window
    absent: Mapping[str, str] = field(default_factory=dict)
    """Peers that can't take part, and why."""

    @property
    def length(self) -> int:
        return self.rounds * len(self.cells)

    @property
    def measures(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(cell.measure for cell in self.cells))

    def peers(self, measure: str) -> list[str]:
        return list(dict.fromkeys(cell.peer for cell in self.cells if cell.measure == measure))

    def points(self, measure: str) -> list[str]:
        return list(dict.fromkeys(cell.point for cell in self.cells if cell.measure == measure))


def make_plan(wanted: Sequence[Cell], rounds: int, window: Window) -> Plan:
    """`wanted`, without the peers that can't take part."""
    reasons = {
        (cell.measure, cell.peer): MEASURES[cell.measure].missing(cell.peer) for cell in wanted
    }
    present = [cell for cell in wanted if not reasons[cell.measure, cell.peer]]
    absent = {peer: reason for (_, peer), reason in reasons.items() if reason}
    return Plan(present, rounds, window, absent)


def cells_of(measure: str) -> list[Cell]:
    """All of them, those of a point together."""
    found = MEASURES[measure]
    return [Cell(measure, peer, point) for point in found.points for peer in found.peers]


def run(plan: Plan) -> Generator[Sample, None, None]:
    """Make the measurements of `plan`, giving each as soon as it is there.

    A cell that has failed is not measured again.
    """
    failed: set[Cell] = set()
    with Site() as site:
        for number in range(plan.rounds):
            for cell in in_turn(plan.cells, number):
                if cell not in failed:
                    sample = measure(site, number, cell, plan.window)
                    failed |= {cell} if sample.failure else set()
                    yield sample


def in_turn(cells: Sequence[Cell], number: int) -> Sequence[Cell]:
    """Every other round goes backwards."""
    return cells[:: -1 if number % 2 else 1]


def measure(site: Site, number: int, cell: Cell, window: Window) -> Sample:
    found = MEASURES[cell.measure]
    try:
        figures = found.run(site, cell.peer, found.points[cell.point], window)
    except FAILURES as error:
        site.forget_servers_of(cell.peer)
        return Sample(number, cell, {}, str(error))
    return Sample(number, cell, figures)
