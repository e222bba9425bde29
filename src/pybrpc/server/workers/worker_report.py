"""WorkerReport: what a worker tells its supervisor, as a line of JSON each time."""

from __future__ import annotations

import dataclasses
import json
from typing import Self

from pybrpc.server.statistics import ServerStatistics


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerReport:
    """How it stands with a worker now."""

    is_serving: bool = False
    failure: str = ""
    """Why it can't serve: "ModuleNotFoundError: No module named 'app'"."""
    statistics: ServerStatistics = dataclasses.field(default_factory=ServerStatistics)
    """Since the worker has started: a report that gets lost is made up for by the next."""

    def to_line(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        values = json.loads(line)
        values["statistics"] = ServerStatistics(**values["statistics"])
        return cls(**values)
