"""InlineRunner: runs tasks of a WorkerPool in the thread that has read them.

For a few requests with fast handlers, waking a worker would be the largest part of the work. So the
thread that polls runs them between two turns. If one of them takes long, another thread polls a
millisecond later (see StandbyPoller), and wakes a worker for the other tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.worker import run_task

if TYPE_CHECKING:
    from pybrpc.server.running.worker_pool import WorkerPool
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

MAX_TASKS = 64
"""About half a millisecond of fast handlers, compiled. For more tasks it is worth waking a worker:
the dispatcher reads on meanwhile."""


class InlineRunner:
    """An InlineTask of the dispatcher, which runs the tasks in the queue of `pool`."""

    __slots__ = ("_dispatcher", "_is_scheduled", "_pool", "_responses")

    def __init__(self, pool: WorkerPool, dispatcher: EventDispatcher) -> None:
        self._pool = pool
        self._dispatcher = dispatcher
        self._responses = ResponseBatch()
        self._is_scheduled = False

    def will_run(self) -> bool:
        """Whether `run` is called after this turn. In a turn."""
        if len(self._pool.queue) > MAX_TASKS or not self._pool.has_room():
            return False
        if not self._is_scheduled:
            self._is_scheduled = self._dispatcher.run_after_turn(self)
        return self._is_scheduled

    def run(self, is_handed_over: Callable[[], bool]) -> None:
        self._is_scheduled = False
        pool = self._pool
        if pool.is_worked_at:
            return
        if not pool.count_worker():
            self._dispatcher.post(self.hand_over)
            return
        queue, responses = pool.queue, self._responses
        may_begin = not is_handed_over()
        while queue and may_begin:
            try:
                task = queue.popleft()
            except IndexError:
                break
            run_task(task, responses)
            may_begin = not is_handed_over()
            if not may_begin:
                task.note_slow()
        responses.flush()
        pool.uncount_worker()

    def hand_over(self) -> None:
        self._is_scheduled = False
        self._responses.flush()
        self._pool.wake_worker()
