"""WorkerPool: threads for handlers that block, woken as rarely as possible.

Waking a thread costs about three fast handlers, so the tasks of one read are queued in one go and
one worker is woken for them. It runs them one after another. The dispatcher watches: a look about
1 ms after tasks were queued, and another while the queue is not empty. If since the last look only
those who were woken then have taken a task, one each, they are in slow handlers, and 1, then 2, 4,
8, ... more workers are woken, until the queue moves or each task has a worker.

A few tasks that are known to be fast wake nobody: who read them runs them (see InlineRunner).

Going to sleep, a worker enters `_idle` and looks at the queue once more; whoever wakes a worker
takes it out of `_idle` first, so it is woken once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.deadline import NEVER, remaining_s
from pybrpc.server.running.inline_runner import InlineRunner
from pybrpc.server.running.worker import Task, Worker
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

logger = logging.getLogger("pybrpc")

MAX_WORKERS = 256
LOOK_S = 0.001
IDLE_S = 10.0


class WorkerPool:
    """Runs tasks in daemon threads that start when needed and end when idle for 10 s.

    At most `max_workers` handlers run at once; what comes then waits in the queue. `submit` and
    `submit_dedicated` are called in a turn of the dispatcher, and don't block.
    """

    __slots__ = (
        "__weakref__",
        "_active_worker",
        "_dispatcher",
        "_idle",
        "_in_place",
        "_is_armed",
        "_is_closed",
        "_max_workers",
        "_spawned",
        "_step",
        "_submitted",
        "_taken",
        "_woken",
        "_worker_count",
        "_workers",
        "queue",
    )

    def __init__(self, dispatcher: EventDispatcher, max_workers: int = MAX_WORKERS) -> None:
        self.queue: deque[Task] = deque()
        self._dispatcher = dispatcher
        self._max_workers = max_workers
        self._workers: set[Worker] = set()
        self._worker_count = atomic_counter()
        self._spawned = atomic_counter()
        self._idle: deque[Worker] = deque()
        # Who was woken last to empty the queue, and has not said that it is empty.
        self._active_worker: Worker | None = None
        self._submitted = 0
        # At the last look: tasks taken from the queue until then, and how many workers were woken.
        self._taken = 0
        self._woken = 0
        self._step = 1
        self._is_armed = False
        self._is_closed = False
        self._in_place = InlineRunner(self, dispatcher)

    def submit(self, tasks: list[Task], are_quick: bool = False) -> None:
        """Queue tasks; wake one worker if none is at the queue, unless all may run in place."""
        self._submitted += len(tasks)
        self.queue.extend(tasks)
        if are_quick and self._active_worker is None and self._in_place.will_run():
            return
        self.wake_worker()

    def wake_worker(self) -> None:
        """See that a worker comes to the queue, and watch. In a turn."""
        if not self._is_armed:
            self._arm()
        if self._active_worker is None:
            self._add_workers(1)

    def submit_dedicated(self, task: Task) -> None:
        """Run a task that is known to be slow in a worker of its own, if there may be one more."""
        worker = self._take_idle()
        if worker is not None:
            worker.task = task
            worker.wakeup.release()
        elif not self.spawn(task, 0):
            self.submit([task])

    def close(self) -> None:
        """Let idle workers end now and busy ones when they are done. Any thread, never blocks."""
        self._is_closed = True
        while (worker := self._take_idle()) is not None:
            worker.wakeup.release()

    def join(self, deadline: float = NEVER) -> None:
        """After `close`: wait for the threads, but not for those that are in a handler."""
        for worker in list(self._workers):
            if worker.thread is threading.current_thread() or worker.is_running:
                continue
            # One that is just being started can't be joined yet; it will find nothing to do.
            with contextlib.suppress(RuntimeError):
                worker.thread.join(remaining_s(deadline))

    @property
    def worker_count(self) -> int:
        """With who runs tasks in place."""
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

    def enter(self) -> bool:
        """Count who runs tasks in place as a worker; False if there are as many as may be."""
        if self._worker_count.increment_and_get(1) <= self._max_workers:
            return True
        self._worker_count.decrement_and_get(1)
        return False

    def leave(self) -> None:
        self._worker_count.decrement_and_get(1)

    # --- called by workers too ---

    def spawn(self, task: Task | None, followers: int) -> Worker | None:
        """Start a worker, which starts `followers` more; `None` if there are as many as may be.

        Starting a thread waits until it runs: the dispatcher starts one, and that one the next.
        """
        if not self.enter():
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

    def rest(self, worker: Worker) -> bool:
        """Sleep until there is something to do. False: end the thread."""
        if self._active_worker is worker:
            self._active_worker = None
        self._idle.append(worker)
        if (self.queue or self._is_closed) and self._take_out(worker):
            return self._stays(worker)
        if not worker.wakeup.acquire(timeout=IDLE_S):
            if self._take_out(worker):
                return self._stays(worker, is_wanted=False)
            worker.wakeup.acquire()
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
        self.leave()

    def _take_out(self, worker: Worker) -> bool:
        """Take a worker out of the idle ones; False if somebody else did, who will wake it."""
        try:
            self._idle.remove(worker)
        except (ValueError, IndexError):
            return False
        return True

    def _take_idle(self) -> Worker | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    # --- in a turn ---

    def _add_workers(self, count: int) -> None:
        """Wake idle workers, and start what is missing."""
        self._woken += count
        for missing in range(count, 0, -1):
            worker = self._take_idle()
            if worker is None:
                self.spawn(None, missing - 1)
                return
            self._active_worker = worker
            worker.wakeup.release()

    def _arm(self) -> None:
        self._is_armed = True
        self._taken = self._submitted - len(self.queue)
        self._woken = 0
        self._dispatcher.call_at(time.monotonic() + LOOK_S, self._look)

    def _look(self) -> None:
        """The watch: is the queue moving, and does nobody keep answers back?"""
        self._is_armed = False
        waiting = len(self.queue)
        wanted = self._workers_wanted(waiting)
        if not waiting:
            # Who is not back by now is in a slow handler; the next tasks wake somebody else.
            self._active_worker = None
        keeps_back = self._flush_outboxes()
        if waiting or keeps_back:
            self._arm()
        if wanted:
            self._add_workers(wanted)

    def _workers_wanted(self, waiting: int) -> int:
        moved = self._submitted - waiting - self._taken
        if not waiting or moved > self._woken:
            self._step = 1
            return 0
        wanted = min(self._step, waiting)
        self._step = min(2 * self._step, self._max_workers)
        return wanted

    def _flush_outboxes(self) -> bool:
        """Write answers that wait behind a slow handler; True if some are too young for that."""
        now = time.monotonic()
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
