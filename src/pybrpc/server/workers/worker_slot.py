"""WorkerSlot: the place of one worker in a WorkerGroup, which always has a worker.

A worker starts, and then serves, until

    it is replaced   a successor starts beside it; once that serves, the worker is told to stop and
                     retired; if the successor can't serve, the worker stays
    it stops         without being told to: it is retired, and another one starts, as if it had died
    it dies          another one starts, at once if it had served for a while, else after a pause
                     that grows; meanwhile connections are refused
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

from pybrpc.base.backoff import Backoff
from pybrpc.base.guard import WORKERS
from pybrpc.server.workers.worker_process import WorkerProcess, WorkerUser
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

STABLE_AFTER_S = 10.0
"""A worker that has served for this many seconds is replaced without a pause when it ends."""

BACKOFF = Backoff(first_s=0.1, factor=2, max_s=30)


class SlotUser(Protocol):
    """Notified of a slot's changes, in turns of the dispatcher."""

    def on_worker_started(self, worker: WorkerProcess) -> None:
        """The process was started."""

    def on_worker_ended(self, slot: WorkerSlot, worker: WorkerProcess) -> None:
        """The process has ended, for whatever reason."""

    def on_serving(self, slot: WorkerSlot) -> None:
        """One more worker of the slot serves."""

    def on_start_failed(self, slot: WorkerSlot, reason: str) -> None:
        """A worker can't be started; the slot tries again later, unless it is told to stop."""

    def on_vacant(self, slot: WorkerSlot, pause_s: float) -> None:
        """No worker of the slot serves or starts; the next one is started in so many seconds. Not
        called if connections may wait for that."""

    def on_replaced(self, slot: WorkerSlot, failure: str) -> None:
        """A replacement is over: the old worker has ended, or the new one could not serve."""


class WorkerSlot:
    """One worker and its successors. All methods are called in turns of the dispatcher."""

    def __init__(
        self,
        number: int,
        make_worker: Callable[[int, WorkerUser], WorkerProcess],
        dispatcher: EventDispatcher,
        user: SlotUser,
        grace_s: float | None,
    ) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self._successor: WorkerProcess | None = None
        self._retired: list[WorkerProcess] = []
        self._replaced: WorkerProcess | None = None
        self._make_worker = make_worker
        self._dispatcher = dispatcher
        self._user = user
        self._grace_s = grace_s
        self._early_deaths = 0
        self._is_stopping = False

    @property
    def workers(self) -> list[WorkerProcess]:
        """The workers that have not ended."""
        found = (self.worker, self._successor, *self._retired)
        return [worker for worker in found if worker is not None]

    def start(self) -> None:
        """Start a worker, if there is none. An error is logged, and the start is tried again
        later."""
        if self._is_stopping or self.worker is not None or self._successor is not None:
            return
        try:
            self.worker = self._make_worker(self.number, self)
        except Exception as error:
            WORKERS.error("worker %d can't be started: %s", self.number, described(error))
            self._user.on_start_failed(self, described(error))
            self._start_later(self._pause_s(0.0), is_refusing=True)
            return
        self._user.on_worker_started(self.worker)

    def replace(self) -> None:
        """Start a successor."""
        try:
            self._successor = self._make_worker(self.number, self)
        except Exception as error:
            self._user.on_replaced(self, described(error))
            return
        self._user.on_worker_started(self._successor)

    def stop(self, grace_s: float | None) -> None:
        """Stop all workers, and start none any more. Called again, it can shorten the grace."""
        self._is_stopping = True
        for worker in self.workers:
            worker.stop(grace_s)

    def on_serving(self, worker: WorkerProcess) -> None:
        WORKERS.info("worker %d (pid %d) serves", worker.number, worker.pid)
        if worker is self._successor:
            self._replaced, self.worker, self._successor = self.worker, worker, None
            if self._replaced is not None:
                self._retired.append(self._replaced)
                self._replaced.stop(self._grace_s)
            else:
                self._user.on_replaced(self, "")
        self._user.on_serving(self)

    def on_own_stop(self, worker: WorkerProcess) -> None:
        WORKERS.info("worker %d (pid %d) stops by itself", worker.number, worker.pid)
        self._retired.append(worker)
        if worker is self.worker:
            self.worker = None
            pause_s = self._pause_s(worker.served_s)
            # A signal is no fault, so connections may wait for the next worker; but not in a loop.
            self._start_later(pause_s, is_refusing=self._early_deaths > 1)

    def on_ended(self, worker: WorkerProcess) -> None:
        log = WORKERS.info if worker.was_stopped else WORKERS.error
        log("worker %d (pid %d) has ended: %s", worker.number, worker.pid, worker.end)
        is_worker, is_successor = worker is self.worker, worker is self._successor
        if is_worker:
            self.worker = None
        elif is_successor:
            self._successor = None
        else:
            self._retired.remove(worker)
        self._user.on_worker_ended(self, worker)
        if is_worker:
            self._start_later(self._pause_s(worker.served_s), is_refusing=True)
        elif is_successor:
            self._user.on_replaced(self, worker.end)
            self.start()
        elif worker is self._replaced:
            self._replaced = None
            self._user.on_replaced(self, "")

    def _pause_s(self, served_s: float) -> float:
        if served_s >= STABLE_AFTER_S:
            self._early_deaths = 0
            return 0.0
        pause_s = BACKOFF.delay_s(self._early_deaths, random.random)
        self._early_deaths += 1
        return pause_s

    def _start_later(self, pause_s: float, is_refusing: bool) -> None:
        if not self._is_stopping:
            if is_refusing and self._successor is None:
                self._user.on_vacant(self, pause_s)
            self._dispatcher.call_at(time.monotonic() + pause_s, self.start)

    def __repr__(self) -> str:
        return f"<WorkerSlot {self.number}, {self.workers or 'empty'}>"


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
