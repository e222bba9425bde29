"""The order of the measurements: every library takes its turn within every load and round.

What else happens on the machine then hits all of them alike, and a ratio compares neighbours.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from bench.closed_loop import Window
from bench.loads import Load, Style
from bench.peers import LIBRARIES
from bench.processes import measure, running_server


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, how often and how long."""

    loads: Sequence[Load]
    rounds: int
    window: Window

    @property
    def length(self) -> int:
        return self.rounds * len(self.loads) * len(LIBRARIES)


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    round: int
    load: Load
    library: str
    calls_per_s: float


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

    def rates(self, load: Load, library: str) -> list[float]:
        """Calls per second, one number a round."""
        return [s.calls_per_s for s in self if s.load == load and s.library == library]

    def ratios(self, load: Load, other: str) -> list[float]:
        """How many times as fast as `other` the first library was, one number a round."""
        ours, theirs = self.rates(load, LIBRARIES[0]), self.rates(load, other)
        return [a / b for a, b in zip(ours, theirs, strict=False)]


def run(plan: Plan) -> Iterator[Sample]:
    """Make the measurements of `plan`, giving each as soon as it is there."""
    with ExitStack() as stack:
        ports: dict[tuple[str, Style], int] = {}
        for number in range(plan.rounds):
            for load in plan.loads:
                for library in LIBRARIES[:: -1 if number % 2 else 1]:
                    key = library, load.style
                    if key not in ports:
                        ports[key] = stack.enter_context(running_server(*key))
                    rate = measure(library, load, ports[key], plan.window)
                    yield Sample(number, load, library, rate)
