"""InlineRunner: runs calls of a WorkerPool in the thread that has read them.

For a few requests with fast handlers, waking a worker would be the largest part of the work. So the
thread that polls runs them between two turns. If one of them takes long, another thread polls a
millisecond later (see StandbyPoller), and wakes a worker for the other calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pybrpc.base.guard import SERVER
from pybrpc.rpc.serving import handler_thread
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.interfaces import CallInvoker
from pybrpc.server.running.scheduler import Scheduler
from pybrpc.server.running.worker_slots import WorkerSlots

if TYPE_CHECKING:
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

MAX_CALLS = 64
"""About half a millisecond of fast handlers, compiled. For more calls it is worth waking a worker:
the dispatcher reads on meanwhile."""


class InlineRunner:
    """An InlineTask of the dispatcher."""

    __slots__ = (
        "_dispatcher",
        "_invoker",
        "_is_scheduled",
        "_responses",
        "_scheduler",
        "_slots",
        "_wake_worker",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        slots: WorkerSlots,
        invoker: CallInvoker,
        dispatcher: EventDispatcher,
        wake_worker: Callable[[], object],
    ) -> None:
        """`wake_worker` is called in a turn, when calls are left."""
        self._scheduler = scheduler
        self._slots = slots
        self._invoker = invoker
        self._dispatcher = dispatcher
        self._wake_worker = wake_worker
        self._responses = ResponseBatch()
        self._is_scheduled = False

    def will_run(self) -> bool:
        """Decide whether the calls in the queue, which are known to be fast, run inline.

        Here and nowhere else. If so, `run` is called after this turn. In a turn.
        """
        slots = self._slots
        if (
            slots.active_worker is not None  # It runs them anyway.
            or self._scheduler.waiting() > MAX_CALLS
            or not slots.has_room()
        ):
            return False
        if not self._is_scheduled:
            self._is_scheduled = self._dispatcher.run_after_turn(self)
        return self._is_scheduled

    def run(self, is_handed_over: Callable[[], bool]) -> None:
        self._is_scheduled = False
        slots = self._slots
        if slots.active_worker is not None:
            return
        if not slots.try_take():
            self._dispatcher.post(self.hand_over)
            return
        try:
            self._run_calls(is_handed_over)
        except BaseException as error:
            SERVER.caught("running calls inline was interrupted", error=error)
            self._dispatcher.post(self.hand_over)
        finally:
            slots.release()

    def hand_over(self) -> None:
        self._is_scheduled = False
        self._responses.flush()
        self._wake_worker()

    def _run_calls(self, is_handed_over: Callable[[], bool]) -> None:
        scheduler, invoker, responses = self._scheduler, self._invoker, self._responses
        thread = handler_thread()
        may_begin = not is_handed_over()
        while may_begin:
            call = scheduler.take()
            if call is None:
                break
            invoker.run(call, responses, thread)
            may_begin = not is_handed_over()
            if not may_begin:
                call.entry.note_slow()
        responses.flush()
