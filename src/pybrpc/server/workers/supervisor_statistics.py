"""What all workers together have done, and each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pybrpc.server.values import ServerStatistics

OF_NOW = frozenset({"connections", "running", "workers"})
"""What says how it stands, and is gone with its worker; all other fields are counts."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """One worker process."""

    number: int
    """Of its place, from 0. While it is being replaced, two have the same."""
    pid: int
    state: str
    """"starting", "serving" or "stopping"."""
    age_s: float
    """Since it was started."""
    statistics: ServerStatistics
    """As it has last told, a second ago at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class SupervisorStatistics:
    """All of them. `total` counts the workers that have ended too."""

    total: ServerStatistics = dataclasses.field(default_factory=ServerStatistics)
    workers: tuple[WorkerStatistics, ...] = ()
    deaths: int = 0
    """Workers that ended though nobody had asked them to."""

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
    """What is left of a worker that has ended."""
    return dataclasses.replace(ended, **dict.fromkeys(OF_NOW, 0))


def _described(statistics: ServerStatistics) -> str:
    return ", ".join(
        f"{getattr(statistics, field.name)} {field.name}"
        for field in dataclasses.fields(statistics)
    )
