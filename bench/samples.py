"""Cells, samples, and what is made of several samples of a cell."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from bench.figures import Figures


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One peer at one point of a measure."""

    measure: str
    peer: str
    point: str

    def __str__(self) -> str:
        return f"{self.measure}, {self.point}: {self.peer}"


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a cell, or why there is none."""

    round: int
    cell: Cell
    figures: Figures
    failure: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The median of some numbers, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        return cls(statistics.median(numbers), min(numbers), max(numbers))


class Samples(list[Sample]):
    """All measurements so far."""

    def values(self, cell: Cell, figure: str) -> list[float]:
        """One number a round in which the cell was measured and has that figure."""
        return list(self.by_round(cell, figure).values())

    def by_round(self, cell: Cell, figure: str) -> dict[int, float]:
        return {s.round: s.figures[figure] for s in self if s.cell == cell and figure in s.figures}

    def spread(self, cell: Cell, figure: str) -> Spread | None:
        """`None` while there are no numbers."""
        numbers = self.values(cell, figure)
        return Spread.of(numbers) if numbers else None

    def ratios(self, over: Cell, under: Cell, figure: str) -> list[float]:
        """How many times `under` is in `over`, one number for each round that has both."""
        divisors = self.by_round(under, figure)
        return [
            value / divisors[number]
            for number, value in self.by_round(over, figure).items()
            if divisors.get(number)
        ]

    def failures(self) -> dict[Cell, str]:
        """Why cells have no measurement."""
        return {sample.cell: sample.failure for sample in self if sample.failure}
