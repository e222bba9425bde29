"""WorkerPool: threads for handlers that block, woken as rarely as possible.

Waking a thread costs as much as about three fast handlers, so the tasks of one read are queued at
once and one worker is woken for them. It runs them one after another. The dispatcher watches: it
checks the queue about 1 ms after tasks were queued, and again while the queue is not empty. If
since the last check no tasks were taken but one by each worker that was woken then, these workers
are in slow handlers, and 1, then 2, 4, 8, ... more workers are woken, until the queue moves or each
task has a worker.

A few tasks that are known to be fast wake no worker: the thread that read them runs them (see
InlineRunner).

Before it waits, a worker enters `_idle` and checks the queue once more. A thread that wakes a
worker removes it from `_idle` first, so it is woken once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.deadline import NEVER, remaining_s
from pybrpc.server.running.inline_runner import InlineRunner
from pybrpc.server.running.worker import Task, Worker
from pybrpc.server.settings import MAX_WORKERS
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.periodic import PeriodicTimer

logger = logging.getLogger("pybrpc")

WATCH_S = 0.001
IDLE_S = 10.0


class WorkerPool:
    """Runs tasks in daemon threads that start when needed and end when idle for 10 s.

    At most `max_workers` handlers run at once; further tasks wait in the queue. `submit` and
    `submit_dedicated` are called in a turn of the dispatcher, and don't block.
    """

    __slots__ = (
        "__weakref__",
        "_active_worker",
        "_idle",
        "_inline_runner",
        "_is_closed",
        "_is_watching",
        "_max_workers",
        "_spawned",
        "_step",
        "_submitted",
        "_taken",
        "_watch",
        "_woken",
        "_worker_count",
        "_workers",
        "queue",
    )

    def __init__(self, dispatcher: EventDispatcher, max_workers: int = MAX_WORKERS) -> None:
        self.queue: deque[Task] = deque()
        self._max_workers = max_workers
        self._workers: set[Worker] = set()
        self._worker_count = atomic_counter()
        self._spawned = atomic_counter()
        self._idle: deque[Worker] = deque()
        self._active_worker: Worker | None = None
        """The worker that was woken last to empty the queue, until it finds the queue empty."""
        self._submitted = 0
        self._taken = 0
        """Tasks that had been taken from the queue at the last check."""
        self._woken = 0
        """Workers that were woken since the last check."""
        self._step = 1
        self._is_watching = False
        self._is_closed = False
        self._watch = PeriodicTimer(dispatcher, self._on_timer, WATCH_S)
        self._inline_runner = InlineRunner(self, dispatcher)

    def submit(self, tasks: list[Task], are_quick: bool = False) -> None:
        """Queue tasks; wake a worker if none is at the queue, unless all tasks may run inline."""
        self._submitted += len(tasks)
        self.queue.extend(tasks)
        if are_quick and self._active_worker is None and self._inline_runner.will_run():
            return
        self.wake_worker()

    def wake_worker(self) -> None:
        """Wake a worker if none is at the queue, and watch the queue. In a turn."""
        if not self._is_watching:
            self._begin_watch()
            self._watch.start(WATCH_S)
        if self._active_worker is None:
            self._add_workers(1)

    def submit_dedicated(self, task: Task) -> None:
        """Run a slow task in a worker of its own, if one more is allowed."""
        worker = self._pop_idle()
        if worker is not None:
            worker.task = task
            worker.wake_signal.set()
        elif not self.spawn(task, 0):
            self.submit([task])

    def close(self) -> None:
        """Let idle workers end now and busy ones when they are done. Any thread, never blocks."""
        self._is_closed = True
        while (worker := self._pop_idle()) is not None:
            worker.wake_signal.set()

    def join(self, deadline: float = NEVER) -> None:
        """After `close`: wait for the threads, but not for those that are in a handler."""
        for worker in list(self._workers):
            if worker.thread is threading.current_thread() or worker.is_running:
                continue
            # A worker that is just being started can't be joined yet; it will find no task.
            with contextlib.suppress(RuntimeError):
                worker.thread.join(remaining_s(deadline))

    @property
    def worker_count(self) -> int:
        """Workers, and the thread that runs tasks inline while it does."""
        return self._worker_count.get()

    @property
    def idle_count(self) -> int:
        return len(self._idle)

    # --- called by InlineRunner ---

    def has_room(self) -> bool:
        """Whether one more handler may run."""
        return self._worker_count.get() < self._max_workers

    @property
    def is_worked_at(self) -> bool:
        return self._active_worker is not None

    def count_worker(self) -> bool:
        """Count the calling thread as a worker. False if there are as many as are allowed."""
        if self._worker_count.increment_and_get(1) <= self._max_workers:
            return True
        self._worker_count.decrement_and_get(1)
        return False

    def uncount_worker(self) -> None:
        self._worker_count.decrement_and_get(1)

    # --- called by workers too ---

    def spawn(self, task: Task | None, followers: int) -> Worker | None:
        """Start a worker, which starts `followers` more. `None` if no more are allowed.

        Starting a thread waits until it runs: the dispatcher starts one worker, which starts the
        next one.
        """
        if not self.count_worker():
            return None
        worker = Worker(self, self._spawned.increment_and_get(1), task, followers)
        self._workers.add(worker)
        if task is None:
            self._active_worker = worker
        try:
            worker.thread.start()
        except RuntimeError as error:
            logger.warning("%r can't start a thread: %s", self, error)
            self._forget(worker)
            return None
        return worker

    def wait_for_work(self, worker: Worker) -> bool:
        """Block until there is a task. False: end the thread."""
        if self._active_worker is worker:
            self._active_worker = None
        self._idle.append(worker)
        if (self.queue or self._is_closed) and self._remove_idle(worker):
            return self._stays(worker)
        if not worker.wake_signal.wait(IDLE_S):
            if self._remove_idle(worker):
                return self._stays(worker, is_wanted=False)
            worker.wake_signal.wait()
        return self._stays(worker)

    def _stays(self, worker: Worker, is_wanted: bool = True) -> bool:
        if self.queue or worker.task is not None or (is_wanted and not self._is_closed):
            return True
        self._forget(worker)
        return False

    def _forget(self, worker: Worker) -> None:
        if self._active_worker is worker:
            self._active_worker = None
        self._workers.discard(worker)
        self.uncount_worker()

    def _remove_idle(self, worker: Worker) -> bool:
        """Remove a worker from `_idle`. False if another thread has, which wakes the worker."""
        try:
            self._idle.remove(worker)
        except (ValueError, IndexError):
            return False
        return True

    def _pop_idle(self) -> Worker | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    # --- in a turn ---

    def _add_workers(self, count: int) -> None:
        """Wake idle workers; if there are too few, start new ones."""
        self._woken += count
        for missing in range(count, 0, -1):
            worker = self._pop_idle()
            if worker is None:
                self.spawn(None, missing - 1)
                return
            self._active_worker = worker
            worker.wake_signal.set()

    def _begin_watch(self) -> None:
        self._is_watching = True
        self._taken = self._submitted - len(self.queue)
        self._woken = 0

    def _on_timer(self, now: float) -> float | None:
        """Check whether the queue moves, and flush responses that wait behind slow handlers."""
        waiting = len(self.queue)
        wanted = self._workers_wanted(waiting)
        if not waiting:
            # A worker that has not come back by now is in a slow handler; the next tasks wake
            # another one.
            self._active_worker = None
        keeps_back = self._flush_batches(now)
        self._is_watching = bool(waiting or keeps_back)
        if self._is_watching:
            self._begin_watch()
        if wanted:
            self._add_workers(wanted)
        return WATCH_S if self._is_watching else None

    def _workers_wanted(self, waiting: int) -> int:
        moved = self._submitted - waiting - self._taken
        if not waiting or moved > self._woken:
            self._step = 1
            return 0
        wanted = min(self._step, waiting)
        self._step = min(2 * self._step, self._max_workers)
        return wanted

    def _flush_batches(self, now: float) -> bool:
        """Write responses that wait behind a slow handler. True if some are too new for that."""
        keeps_back = False
        for worker in list(self._workers):
            response_batch = worker.response_batch
            if response_batch:
                response_batch.flush_if_due(now)
                keeps_back = keeps_back or bool(response_batch)
        return keeps_back

    def __repr__(self) -> str:
        state = ", closed" if self._is_closed else ""
        return (
            f"<WorkerPool {self.worker_count} workers of {self._max_workers}, "
            f"{self.idle_count} idle, {len(self.queue)} tasks waiting{state}>"
        )
