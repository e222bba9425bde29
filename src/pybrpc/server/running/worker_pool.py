"""WorkerPool: threads for handlers that block, woken as rarely as possible.

Waking a thread costs as much as about three fast handlers, so the calls of one read are queued at
once and one worker is woken for them. It runs one after another, as the Scheduler gives them out.
The dispatcher watches: it checks the queue about 1 ms after calls were queued, and again while the
queue is not empty. If since the last check no calls were taken but one by each worker that was
woken then, these workers are in slow handlers, and 1, then 2, 4, 8, ... more workers are woken,
until the queue moves or each call has a worker.

A few calls that are known to be fast wake no worker: the thread that read them runs them (see
InlineRunner). If no worker at all can be started, calls are refused: nothing else would ever answer
them.

Before it waits, a worker enters `_idle` and checks the queue once more. A thread that wakes a
worker removes it from `_idle` first, so it is woken once.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from functools import partial
from typing import Any

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.deadline import NEVER, remaining_s
from pybrpc.errors import LimitReachedError
from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.running.inline_runner import InlineRunner
from pybrpc.server.running.interfaces import CallInvoker
from pybrpc.server.running.scheduler import Scheduler
from pybrpc.server.running.thread_shortage import ThreadShortage
from pybrpc.server.running.worker import Worker
from pybrpc.server.running.worker_slots import WorkerSlots
from pybrpc.server.settings import MAX_WORKERS
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.periodic import PeriodicTimer

WATCH_S = 0.001
IDLE_S = 10.0

SWEEP_S = 0.02
"""Seconds between two sweeps that end the calls that have expired while they waited."""

MAX_EXPIRED = 256
"""Calls that a sweep ends. Where so many expire, the next sweep comes a watch later."""

MAX_REFUSALS = 256
"""Calls that are refused in one turn."""


class WorkerPool:
    """Runs calls in daemon threads that start when needed and end when idle for 10 s.

    At most `max_workers` handlers run at once; further calls wait in the queue. `submit` and
    `submit_dedicated` are called in a turn of the dispatcher, and don't block.
    """

    __slots__ = (
        "__weakref__",
        "_idle",
        "_inline_runner",
        "_invoker",
        "_is_closed",
        "_is_watching",
        "_shortage",
        "_slots",
        "_spawned",
        "_step",
        "_submitted",
        "_sweeps_at",
        "_taken",
        "_watch",
        "_woken",
        "_workers",
        "scheduler",
    )

    def __init__(
        self, dispatcher: EventDispatcher, invoker: CallInvoker, max_workers: int = MAX_WORKERS
    ) -> None:
        self.scheduler = Scheduler()
        self._invoker = invoker
        self._slots = WorkerSlots(max_workers)
        self._workers: set[Worker] = set()
        self._spawned = atomic_counter()
        self._shortage = ThreadShortage()
        self._idle: deque[Worker] = deque()
        self._submitted = 0
        self._taken = 0
        """Calls that had been taken from the queue at the last check."""
        self._woken = 0
        """Workers that were woken since the last check."""
        self._step = 1
        self._sweeps_at = 0.0
        self._is_watching = False
        self._is_closed = False
        self._watch = PeriodicTimer(dispatcher, self._on_timer, WATCH_S)
        self._inline_runner = InlineRunner(
            self.scheduler, self._slots, invoker, dispatcher, self._on_calls_left
        )

    def submit(self, queue: CallQueue, calls: list[Any], are_quick: bool = False) -> None:
        """Queue the calls of one connection; wake a worker if none is at the queue, unless all
        calls may run inline."""
        self._submitted += len(calls)
        self.scheduler.put(queue, calls)
        if not (are_quick and self._inline_runner.will_run()):
            self._wake_worker()

    def submit_dedicated(self, queue: CallQueue, call: Any) -> None:
        """Run a slow call in a worker of its own, if one more is allowed."""
        worker = self._pop_idle()
        if worker is not None:
            worker.call = call
            worker.wake_signal.set()
        elif not self._spawn(call, 0):
            self.submit(queue, [call])

    def _wake_worker(self) -> None:
        """Wake a worker if none is at the queue, and watch the queue. In a turn."""
        if not self._is_watching:
            self._begin_watch()
            self._watch.start(WATCH_S)
        if self._slots.active_worker is None:
            self._add_workers(1)

    def _on_calls_left(self) -> None:
        """`_wake_worker` as a callback: it is not in the `.pxd`."""
        self._wake_worker()

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
        """Workers, and the thread that runs calls inline while it does."""
        return self._slots.taken()

    @property
    def idle_count(self) -> int:
        return len(self._idle)

    # --- in the thread of a worker too ---

    def _spawn(self, call: Any, followers: int) -> bool:
        """Start a worker, which starts `followers` more. False if that is not possible.

        Starting a thread waits until it runs: the dispatcher starts one worker, which starts the
        next one.
        """
        if not self._slots.try_take():
            return False
        name = f"pybrpc-worker-{self._spawned.increment_and_get(1)}"
        on_started = partial(self._start_followers, followers)
        worker = Worker(name, self.scheduler, self._invoker, on_started, self._wait_for_work)
        worker.call = call
        self._workers.add(worker)
        if call is None:
            self._slots.active_worker = worker
        if self._shortage.try_start(worker.thread):
            return True
        self._forget(worker)
        return False

    def _start_followers(self, followers: int) -> None:
        if followers and not self.scheduler.is_empty():
            self._spawn(None, followers - 1)

    def _wait_for_work(self, worker: Worker) -> bool:
        """Block until there is a call. False: end the thread."""
        if self._slots.active_worker is worker:
            self._slots.active_worker = None
        self._idle.append(worker)
        has_work = self._is_closed or not self.scheduler.is_empty()
        if has_work and self._remove_idle(worker):
            return self._stays(worker)
        if not worker.wake_signal.wait(IDLE_S):
            if self._remove_idle(worker):
                return self._stays(worker, is_wanted=False)
            worker.wake_signal.wait()
        return self._stays(worker)

    def _stays(self, worker: Worker, is_wanted: bool = True) -> bool:
        if worker.call is not None or not self.scheduler.is_empty():
            return True
        if is_wanted and not self._is_closed:
            return True
        self._forget(worker)
        return False

    def _forget(self, worker: Worker) -> None:
        if self._slots.active_worker is worker:
            self._slots.active_worker = None
        if worker in self._workers:
            self._workers.discard(worker)
            self._slots.release()

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
                self._spawn(None, missing - 1)
                return
            self._slots.active_worker = worker
            worker.wake_signal.set()

    def _begin_watch(self) -> None:
        self._is_watching = True
        self._taken = self._submitted - self.scheduler.waiting()
        self._woken = 0

    def _on_timer(self, now: float) -> float | None:
        """Check whether the queue moves, and flush responses that wait behind slow handlers."""
        waiting = self.scheduler.waiting()
        if waiting and not self._slots.taken() and self._shortage.lasts():
            waiting = self._refuse_all()
        if waiting and now >= self._sweeps_at:
            waiting = self._end_expired(now)
        wanted = self._workers_wanted(waiting)
        if not waiting:
            # A worker that has not come back by now is in a slow handler; the next calls wake
            # another one.
            self._slots.active_worker = None
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
        self._step = min(2 * self._step, self._slots.most)
        return wanted

    def _end_expired(self, now: float) -> int:
        """End calls that have expired while all workers are busy: they shall not hold memory, and
        places under the limits, until their turn comes. Return the number that still wait."""
        expired = self.scheduler.take_expired(now, MAX_EXPIRED)
        if len(expired) < MAX_EXPIRED:
            self._sweeps_at = now + SWEEP_S
        self._invoker.end_expired(expired, now)
        return self.scheduler.waiting()

    def _refuse_all(self) -> int:
        """Refuse the calls that wait: there is no worker, and none can be started. Return the
        number of calls that still wait."""
        error = LimitReachedError("No thread can be started to run the request")
        for _ in range(MAX_REFUSALS):
            call = self.scheduler.take()
            if call is None:
                break
            self._invoker.refuse(call, error)
        return self.scheduler.waiting()

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
            f"<WorkerPool {self.worker_count} workers of {self._slots.most}, "
            f"{self.idle_count} idle, {self.scheduler.waiting()} calls waiting{state}>"
        )
