"""SupervisorStatistics: counters of all workers together, and of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pybrpc.server.values import ServerStatistics

GAUGES = frozenset({"connections", "running", "workers", "streams"})
"""Gauges; they end with the worker. All other fields are counters."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """One worker process."""

    number: int
    """Number of its slot, from 0. While a worker is being replaced, two have the same."""
    pid: int
    """Id of the process."""
    state: str
    """"starting", "serving" or "stopping"."""
    age_s: float
    """Seconds since it was started."""
    statistics: ServerStatistics
    """Its last report, at most about a second old."""
    restarts: int = 0
    """How often the worker of this slot was started again, whatever for."""


@dataclasses.dataclass(frozen=True, slots=True)
class SupervisorStatistics:
    """All workers. `total` includes those that have ended."""

    total: ServerStatistics = dataclasses.field(default_factory=ServerStatistics)
    workers: tuple[WorkerStatistics, ...] = ()
    deaths: int = 0
    """Workers that ended without being asked to."""

    def __str__(self) -> str:
        """One line for all, one for each worker."""
        lines = [f"all: {_described(self.total)}, {self.deaths} deaths"]
        lines += [
            f"worker {each.number} (pid {each.pid}, {each.state} for {each.age_s:.0f} s): "
            f"{_described(each.statistics)}"
            for each in self.workers
        ]
        return "\n".join(lines)


def added(each: Iterable[ServerStatistics]) -> ServerStatistics:
    """The sum, field by field."""
    found = list(each)
    names = [field.name for field in dataclasses.fields(ServerStatistics)]
    return ServerStatistics(**{name: sum(getattr(one, name) for one in found) for name in names})


def counts_of(ended: ServerStatistics) -> ServerStatistics:
    """The counters of a worker that has ended, its gauges set to 0."""
    return dataclasses.replace(ended, **dict.fromkeys(GAUGES, 0))


def _described(statistics: ServerStatistics) -> str:
    return ", ".join(
        f"{getattr(statistics, field.name)} {field.name}"
        for field in dataclasses.fields(statistics)
    )
