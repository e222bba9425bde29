"""WorkerSpec, from the supervisor to a worker at its start, and WorkerReport, the way back."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Self

from pybrpc.server.values import ServerStatistics

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])['sys_path']; "
    "from pybrpc.server.workers.worker_main import main; main()"
)
"""Sets the supervisor's `sys.path`, so that the worker imports the same modules."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Task of a worker. Travels as one argument of a command line, in JSON."""

    number: int
    """Number of the worker's slot, from 0."""
    target: str
    """Text of the form that `check_target` checks."""
    listener_fd: int
    """A bound socket, which the worker inherits."""
    control_fd: int
    """One end of a socket pair, which the worker inherits, for reports and commands."""
    grace_s: float | None
    """Grace of a stop that was begun by a signal, or by the end of the supervisor."""
    loop: str = "asyncio"
    """Loop for a coroutine function that makes a server: "asyncio" or "uvloop"."""
    log_level: str = ""
    """Log from this level on; "" leaves logging to the application."""
    sys_path: list[str] = dataclasses.field(default_factory=lambda: list(sys.path))

    def to_command(self) -> list[str]:
        """The command that starts the worker in a new interpreter: a fork would copy held locks."""
        return [sys.executable, "-c", BOOT, json.dumps(dataclasses.asdict(self))]

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerReport:
    """State and counters of a worker. Travels as one line, in JSON."""

    is_serving: bool = False
    failure: str = ""
    """Reason why it can't serve: "ModuleNotFoundError: No module named 'app'"."""
    statistics: ServerStatistics = dataclasses.field(default_factory=ServerStatistics)
    """Counters since the start of the worker, so that a report may be lost."""

    def to_line(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        values = json.loads(line)
        values["statistics"] = ServerStatistics(**values["statistics"])
        return cls(**values)
