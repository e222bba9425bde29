"""PageWorkers: workers of a supervisor that answer questions about pages, all in this process."""

from __future__ import annotations

import os
import socket
from types import TracebackType
from typing import Self

from pybrpc.server import ServerStatistics
from pybrpc.server.workers.pages.answering import PageAnswerer
from pybrpc.server.workers.pages.asking import AskedWorker
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.metrics_of_workers import MetricsOfWorkers
from pybrpc.server.workers.supervisor_statistics import SupervisorStatistics, WorkerStatistics
from tests.fakes.pages import FakeServerView


class PageWorkers:
    """Each has a PageAnswerer of its own; that of a silent one takes no question."""

    def __init__(self, slots: int = 2, silent: tuple[int, ...] = ()) -> None:
        self.slots = slots
        self.views = [FakeServerView() for _ in range(slots)]
        self.workers: list[AskedWorker] = []
        self.deaths = 0
        self.hosts: list[str] = []
        self.metrics = MetricsOfWorkers()
        self.answerers: dict[AskedWorker, PageAnswerer] = {}
        self._ends: list[socket.socket] = []
        for number in range(slots):
            self.add(number, is_silent=number in silent)

    def allowed_hosts(self) -> list[str]:
        """None but those that a test has set."""
        return self.hosts

    def add(self, number: int, state: str = "serving", is_silent: bool = False) -> AskedWorker:
        """One more."""
        channel = PageChannel()
        end = socket.socket(fileno=os.dup(channel.their_fd))
        channel.release_theirs()
        self._ends.append(end)
        worker = AskedWorker(number, 100 + len(self._ends), state, channel)
        if not is_silent:
            view = self.views[number]
            view.worker_name = f"worker {number}"
            answerer = PageAnswerer(end)
            answerer.serve(lambda: view)
            answerer.start()
            self.answerers[worker] = answerer
        self.workers.append(worker)
        return worker

    def die(self, worker: AskedWorker) -> None:
        """Its process has ended, and the supervisor knows it."""
        self.workers.remove(worker)
        worker.channel.read_last()
        worker.channel.close()
        self.metrics.retire(worker.pid, worker.channel)
        self.deaths += 1

    def asked_workers(self) -> list[AskedWorker]:
        return list(self.workers)

    def statistics(self) -> SupervisorStatistics:
        each = [
            WorkerStatistics(
                worker.number, worker.pid, worker.state, 5.0, ServerStatistics(requests=7)
            )
            for worker in self.workers
        ]
        return SupervisorStatistics(ServerStatistics(requests=9), tuple(each), self.deaths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.channel.close()
        for end in self._ends:
            end.close()
