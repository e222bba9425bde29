"""InlineRunner: the tasks of a WorkerPool that the thread which read them runs itself.

Of a few requests whose handlers are fast, waking a worker would be the largest part of the work.
So the thread that drives the dispatcher runs them between two turns. If one of them takes long,
another thread drives a millisecond later (see StandbyPoller), and wakes a worker for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.worker import run_task

if TYPE_CHECKING:
    from pybrpc.server.running.worker_pool import WorkerPool
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

MOST_TASKS = 64
"""About half a millisecond of fast handlers, compiled. More of them are worth a worker, beside
which the dispatcher can go on reading."""


class InlineRunner:
    """An InlineTask of the dispatcher: run what is in the queue of `pool`."""

    __slots__ = ("_dispatcher", "_is_lent", "_outbox", "_pool")

    def __init__(self, pool: WorkerPool, dispatcher: EventDispatcher) -> None:
        self._pool = pool
        self._dispatcher = dispatcher
        self._outbox = ResponseBatch()
        self._is_lent = False

    def will_run(self) -> bool:
        """Whether the queue is seen to after this turn. In a turn."""
        if len(self._pool.queue) > MOST_TASKS or not self._pool.has_room():
            return False
        if not self._is_lent:
            self._is_lent = self._dispatcher.run_after_turn(self)
        return self._is_lent

    def run(self, is_relieved: Callable[[], bool]) -> None:
        self._is_lent = False
        pool = self._pool
        if pool.is_worked_at:
            return
        if not pool.enter():
            self._dispatcher.post(self.hand_over)
            return
        queue, response_batch = pool.queue, self._outbox
        may_begin = not is_relieved()
        while queue and may_begin:
            try:
                task = queue.popleft()
            except IndexError:
                break
            run_task(task, response_batch)
            may_begin = not is_relieved()
            if not may_begin:
                task.note_slow()
        response_batch.flush()
        pool.leave()

    def hand_over(self) -> None:
        self._is_lent = False
        self._outbox.flush()
        self._pool.wake_worker()
