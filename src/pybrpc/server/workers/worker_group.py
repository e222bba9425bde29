"""WorkerGroup: the workers of a Supervisor from its start to its stop.

All in turns of one dispatcher, but for `statistics` and the latches. The workers and counters are
one value that is exchanged as a whole, so that a reader in another thread counts each worker
exactly once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pybrpc.base.cores import share_of
from pybrpc.base.guard import WORKERS
from pybrpc.base.wake_list import StopLatch
from pybrpc.server.values import ServerStatistics
from pybrpc.server.workers.listeners import AnyListeners
from pybrpc.server.workers.messages import WorkerSpec
from pybrpc.server.workers.orphans.orphan_watch import OrphanWatch
from pybrpc.server.workers.pages.asking import AskedWorker
from pybrpc.server.workers.pages.metrics_of_workers import MetricsOfWorkers
from pybrpc.server.workers.settings import SupervisorSettings
from pybrpc.server.workers.supervisor_link import EXIT_S
from pybrpc.server.workers.supervisor_statistics import (
    SupervisorStatistics,
    WorkerStatistics,
    added,
    counts_of,
)
from pybrpc.server.workers.worker_directory import WorkerDirectory
from pybrpc.server.workers.worker_process import WorkerProcess, WorkerUser
from pybrpc.server.workers.worker_slot import WorkerSlot
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher


@dataclasses.dataclass(frozen=True, slots=True)
class _Account:
    """The workers, and the counters of those that have ended."""

    workers: tuple[WorkerProcess, ...] = ()
    ended: ServerStatistics = dataclasses.field(default_factory=ServerStatistics)
    deaths: int = 0


class WorkerGroup:
    """The SlotUser of all slots."""

    def __init__(
        self, settings: SupervisorSettings, listeners: AnyListeners, dispatcher: EventDispatcher
    ) -> None:
        """OSError if the system has no descriptor left."""
        self._settings = settings
        self._directory = WorkerDirectory(settings.directory)
        grace_s = settings.grace_s
        self._orphans = OrphanWatch(dispatcher, None if grace_s is None else grace_s + EXIT_S)
        self._listeners = listeners
        self._dispatcher = dispatcher
        self._account = _Account()
        self.metrics = MetricsOfWorkers()
        """Counts of the workers; none if they can't be asked for pages."""
        self._starts = [0] * settings.workers
        """How many workers were started in each slot."""
        self._to_replace: list[WorkerSlot] = []
        self._replacing: WorkerSlot | None = None
        self._restarts_when_started = False
        self._slots = [
            WorkerSlot(number, self._new_worker, dispatcher, self, settings.grace_s)
            for number in range(settings.workers)
        ]
        self.started = StopLatch()
        """Set once all workers serve, or the start has failed."""
        self.stopped = StopLatch()
        self.failure = ""
        """The reason why the start has failed."""
        self.is_stopping = False
        self._is_draining = False
        self.on_restart: Callable[[bool], None] = lambda has_begun: None
        """Called in a turn when a restart begins, with True, and when it is over, with False."""

    def start(self) -> None:
        """Start all workers."""
        self._orphans.start()
        for slot in self._slots:
            slot.start()

    def give_up(self) -> None:
        """It will not be started: leave nothing."""
        self._orphans.close()

    def restart(self) -> None:
        """Replace all workers, one by one; when all serve, if they are starting."""
        if self.is_stopping or self._is_draining:
            return
        if not self.started.is_set:
            self._restarts_when_started = True
        else:
            WORKERS.info("replacing %d workers", len(self._slots))
            self.on_restart(True)
            self._to_replace = list(self._slots)
            self._replace_next()

    def drain(self) -> None:
        """They will be stopped soon: have the pages of all say so, also of those that start."""
        self._is_draining = True
        for worker in self._account.workers:
            worker.drain()

    def stop(self, grace_s: float | None) -> None:
        """Stop all workers. Called again, it can shorten the grace."""
        self.is_stopping = True
        if not self.started.is_set and not self.failure:
            self.failure = "it was stopped before all workers served"
        self._to_replace.clear()
        # Close them first, or connections would wait for workers that no longer accept.
        self._listeners.close()
        for slot in self._slots:
            slot.stop(grace_s)
        self._end_if_empty()

    def statistics(self) -> SupervisorStatistics:
        """Any thread."""
        account = self._account
        workers = tuple(self._described(worker) for worker in account.workers)
        total = added([account.ended, *(each.statistics for each in workers)])
        return SupervisorStatistics(total, workers, account.deaths)

    def _described(self, worker: WorkerProcess) -> WorkerStatistics:
        restarts = max(self._starts[worker.number] - 1, 0)
        return dataclasses.replace(worker.describe(), restarts=restarts)

    @property
    def slots(self) -> int:
        """Workers that there should be."""
        return len(self._slots)

    def asked_workers(self) -> list[AskedWorker]:
        """The workers that can be asked for pages, by their numbers. Any thread."""
        found = [
            AskedWorker(worker.number, worker.pid, worker.state, worker.pages)
            for worker in self._account.workers
            if worker.pages is not None
        ]
        return sorted(found, key=lambda worker: (worker.number, worker.pid))

    def allowed_hosts(self) -> set[str]:
        """The hosts that servers of workers name; none if all are allowed. Any thread."""
        return {host for worker in self._account.workers for host in worker.allowed_hosts}

    def log_statistics(self) -> None:
        for line in str(self.statistics()).splitlines():
            WORKERS.warning("%s", line)

    # --- SlotUser ---

    def on_worker_started(self, worker: WorkerProcess) -> None:
        self._orphans.watch(worker.pid, *self._listeners.own_sockets_of(worker.number))
        self._starts[worker.number] += 1
        account = self._account
        self._account = dataclasses.replace(account, workers=(*account.workers, worker))

    def on_worker_ended(self, slot: WorkerSlot, worker: WorkerProcess) -> None:
        self._orphans.forget(worker.pid)
        if worker.pages is not None:
            self.metrics.retire(worker.pid, worker.pages)
        account = self._account
        self._account = _Account(
            tuple(each for each in account.workers if each is not worker),
            added([account.ended, counts_of(worker.statistics)]),
            account.deaths + (not worker.was_stopped),
        )
        if not self.started.is_set and not worker.was_stopped:
            self._fail_to_start(f"worker {worker.number} could not start: {worker.end}")
        self._end_if_empty()

    def on_start_failed(self, slot: WorkerSlot, reason: str) -> None:
        if not self.started.is_set:
            self._fail_to_start(f"worker {slot.number} could not start: {reason}")

    def on_vacant(self, slot: WorkerSlot, pause_s: float) -> None:
        """Connections go to other workers. If there is no other one, they are refused, but for the
        short time in which the next worker starts at once: they wait for that."""
        if not self.is_stopping and (pause_s > 0 or len(self._slots) > 1):
            self._listeners.refuse(slot.number)

    def on_serving(self, slot: WorkerSlot) -> None:
        self._listeners.admit(slot.number)
        if self._is_draining and slot.worker is not None:
            slot.worker.drain()
        if all(each.worker and each.worker.state == "serving" for each in self._slots):
            self.started.set()
            if self._restarts_when_started:
                self._restarts_when_started = False
                self.restart()

    def on_replaced(self, slot: WorkerSlot, failure: str) -> None:
        if slot is not self._replacing:
            return
        self._replacing = None
        if self.is_stopping:
            return
        if failure:
            self._to_replace.clear()
            WORKERS.error(
                "worker %d was not replaced, nor will others be: %s", slot.number, failure
            )
            self.on_restart(False)
        else:
            self._replace_next()

    def _new_worker(self, number: int, user: WorkerUser) -> WorkerProcess:
        settings = self._settings
        first, *others = (sock.fileno() for sock in self._listeners.sockets_of(number))

        def make_spec(control_fd: int, pages_fd: int) -> WorkerSpec:
            return WorkerSpec(
                number,
                settings.target,
                first,
                control_fd,
                settings.grace_s,
                settings.loop,
                settings.log_level,
                self._orphans.orphan_fd,
                pages_fd,
                cores_of(settings, number),
                settings.keep_memory,
                self._directory.sys_path,
                others,
            )

        return WorkerProcess(make_spec, self._directory, self._dispatcher, user, settings)

    def _replace_next(self) -> None:
        if self._replacing is None and self._to_replace:
            self._replacing = self._to_replace.pop(0)
            self._replacing.replace()
        elif self._replacing is None:
            self.on_restart(False)

    def _fail_to_start(self, failure: str) -> None:
        self.failure = self.failure or failure
        self.stop(0.0)

    def _end_if_empty(self) -> None:
        if self.is_stopping and not self._account.workers and not self.stopped.is_set:
            self._orphans.close()
            self.started.set()
            self.stopped.set()


def cores_of(settings: SupervisorSettings, number: int) -> list[int]:
    """The cores of the worker `number`; none: the system decides."""
    if settings.pin is None:
        return []
    return sorted(share_of(settings.pin, number, settings.workers))
