"""FakeWorker: a worker process that the test controls."""

from __future__ import annotations

from typing import Any

from pybrpc.server import ServerStatistics
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.supervisor_statistics import WorkerStatistics


class FakeWorker:
    """Replaces a WorkerProcess. The test calls `serve` and `die`, which notify `user`."""

    def __init__(self, number: int, pid: int, user: Any = None) -> None:
        self.number = number
        self.pid = pid
        self.user = user
        self.state = "starting"
        self.served_s = 0.0
        self.was_stopped = False
        self.end = "killed by SIGKILL"
        self.stops: list[float | None] = []
        self.drains = 0
        self.has_ended = False
        self.statistics = ServerStatistics()
        self.pages: PageChannel | None = None

    def drain(self) -> None:
        self.drains += 1

    def stop(self, grace_s: float | None) -> None:
        self.was_stopped = True
        self.stops.append(grace_s)

    def describe(self) -> WorkerStatistics:
        return WorkerStatistics(self.number, self.pid, self.state, 1.0, self.statistics)

    # --- what the process does ---

    def serve(self) -> None:
        self.state = "serving"
        self.user.on_serving(self)

    def die(self) -> None:
        """Once, as a process does."""
        if not self.has_ended:
            self.has_ended = True
            self.user.on_ended(self)

    def __repr__(self) -> str:
        return f"worker {self.pid}"
