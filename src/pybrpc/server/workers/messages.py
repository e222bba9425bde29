"""WorkerSpec, from the supervisor to a worker at its start, and WorkerReport, the way back."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Collection
from typing import Any, Self

from pybrpc.server.http_safety import AllowedHosts
from pybrpc.server.values import ServerStatistics

FOR_SUPERVISOR = (signal.SIGHUP, signal.SIGUSR1)
"""Signals for the supervisor. One is easily sent to all processes with its name, so workers do
nothing when they get it."""

BOOT = f"""\
import json, signal, sys
for number in {[int(number) for number in FOR_SUPERVISOR]}:
    signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
sys.path[:] = json.loads(sys.argv[1])["sys_path"]
from pybrpc.server.workers.worker_main import main
main()
"""
"""Makes the signals for the supervisor harmless, which blocks them until then, and sets its
`sys.path`, so that the worker imports the same modules. SIG_IGN would be inherited by children."""


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
    orphan_fd: int = -1
    """End of a pipe, which the worker inherits: over it the worker says that it has noticed the end
    of its supervisor."""
    pages_fd: int = -1
    """A socket, which the worker inherits, over which the supervisor asks for pages; -1: it does
    not."""
    cores: list[int] = dataclasses.field(default_factory=list)
    """Cores to which it is bound; none: the system decides."""
    keeps_memory: bool = False
    """Whether malloc keeps what big messages have needed."""
    sys_path: list[str] = dataclasses.field(default_factory=lambda: list(sys.path))
    more_listener_fds: list[int] = dataclasses.field(default_factory=list)
    """More bound sockets, which the worker inherits."""

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that the worker inherits."""
        found: tuple[int, ...] = (self.listener_fd, self.control_fd, self.orphan_fd)
        if self.pages_fd >= 0:
            found = (*found, self.pages_fd)
        return (*found, *self.more_listener_fds)

    def to_command(self, executable: str) -> list[str]:
        """The command that starts the worker in a new interpreter: a fork would copy held locks."""
        return [executable, "-c", BOOT, json.dumps(dataclasses.asdict(self))]

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**_known(json.loads(text), cls))


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerReport:
    """State and counters of a worker. Travels as one line, in JSON."""

    is_serving: bool = False
    failure: str = ""
    """Reason why it can't serve: "ModuleNotFoundError: No module named 'app'"."""
    allowed_hosts: list[str] = dataclasses.field(default_factory=list)
    """Those of its server; empty: all."""
    statistics: ServerStatistics = dataclasses.field(default_factory=ServerStatistics)
    """Counters since the start of the worker, so that a report may be lost."""

    def to_line(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """ValueError, TypeError or KeyError for a line that is no report."""
        values = _known(json.loads(line), cls)
        if hosts := values.get("allowed_hosts"):
            AllowedHosts(hosts)
        values["statistics"] = ServerStatistics(**_known(values["statistics"], ServerStatistics))
        return cls(**values)


def _known(values: Any, of: type) -> dict[str, Any]:
    """Those values that are fields of a dataclass. A worker that was started after a new release
    was installed may send others. TypeError if there are no names."""
    if not isinstance(values, dict):
        raise TypeError(f"no object of JSON: {values!r:.100}")
    names: Collection[str] = {field.name for field in dataclasses.fields(of)}
    return {name: value for name, value in values.items() if name in names}
