"""WorkerSpec: what a supervisor tells a worker process at its start."""

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
"""With the path of the supervisor, so that the worker imports what the supervisor would."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One argument of a command line, as JSON."""

    number: int
    """Of the worker's place, from 0."""
    target: str
    """As `check_target`."""
    listener_fd: int
    """A bound socket, which the worker inherits."""
    control_fd: int
    """One end of a socket pair, which it inherits: reports go up, commands come down."""
    grace_s: float | None
    """For a stop that nobody has set a time for."""
    loop: str = "asyncio"
    """Or "uvloop": what a coroutine function that makes a server runs in."""
    log_level: str = ""
    """Log from this level on; "" leaves logging to the application."""
    sys_path: list[str] = dataclasses.field(default_factory=lambda: list(sys.path))

    def to_command(self) -> list[str]:
        """What starts the worker. A fresh interpreter: a fork would copy the threads' locks."""
        return [sys.executable, "-c", BOOT, json.dumps(dataclasses.asdict(self))]

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


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
