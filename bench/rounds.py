"""The order of the measurements: every library takes its turn within every load and round.

What else happens on the machine then hits all of them alike, and a ratio compares neighbours.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from bench.closed_loop import Window
from bench.contest import Contest


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, how often and how long."""

    contest: Contest[Any]
    loads: Sequence[Any]
    rounds: int
    window: Window

    @property
    def length(self) -> int:
        return self.rounds * len(self.loads) * len(self.contest.libraries)


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    round: int
    load: Any
    library: str
    per_s: float


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

    def rates(self, load: Any, library: str) -> list[float]:
        """What was done per second, one number a round."""
        return [s.per_s for s in self if s.load == load and s.library == library]

    def ratios(self, load: Any, ours: str, other: str) -> list[float]:
        """How many times as fast as `other` we were, one number a round."""
        pairs = zip(self.rates(load, ours), self.rates(load, other), strict=False)
        return [a / b for a, b in pairs]


def run(plan: Plan) -> Iterator[Sample]:
    """Make the measurements of `plan`, giving each as soon as it is there."""
    libraries = list(plan.contest.libraries)
    with plan.contest.measuring() as measure:
        for number in range(plan.rounds):
            for load in plan.loads:
                for library in libraries[:: -1 if number % 2 else 1]:
                    yield Sample(number, load, library, measure(library, load, plan.window))
