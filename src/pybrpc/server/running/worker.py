"""Worker: one thread of a WorkerPool."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.flags import WakeSignal
from pybrpc.server.calls.response_batch import ResponseBatch

if TYPE_CHECKING:
    from pybrpc.server.running.worker_pool import WorkerPool

logger = logging.getLogger("pybrpc")


class Task(Protocol):
    """Something that a worker runs."""

    def run(self, response_batch: ResponseBatch) -> None:
        """Run. A response may be left in `response_batch`. Must not raise."""

    def note_slow(self) -> None:
        """The task has delayed the thread that reads: don't run tasks of this kind there soon."""


class Worker:
    """One thread, which waits for `wake_signal` while there is nothing to do."""

    __slots__ = (
        "followers",
        "is_running",
        "pool",
        "response_batch",
        "task",
        "thread",
        "wake_signal",
    )

    def __init__(self, pool: WorkerPool, number: int, task: Task | None, followers: int) -> None:
        self.pool = pool
        self.task = task
        self.followers = followers
        self.is_running = False
        self.response_batch = ResponseBatch()
        self.wake_signal = WakeSignal()
        name = f"pybrpc-worker-{number}"
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        pool = self.pool
        if self.followers and pool.queue:
            pool.spawn(None, self.followers - 1)
        while True:
            self._work()
            if not pool.wait_for_work(self):
                return

    def _work(self) -> None:
        self.is_running = True
        task, self.task = self.task, None
        queue = self.pool.queue
        response_batch = self.response_batch
        while task is not None or queue:
            if task is None:
                try:
                    task = queue.popleft()
                except IndexError:  # Another worker has just taken it.
                    break
            run_task(task, response_batch)
            task = None
        response_batch.flush()
        self.is_running = False


def run_task(task: Task, response_batch: ResponseBatch) -> None:
    """Run `task`, and log an error that it raises, which it should not."""
    try:
        task.run(response_batch)
    except BaseException:
        logger.exception("%r raised in a worker", task)
