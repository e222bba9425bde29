"""InlineRunner: runs calls of a WorkerPool in the thread that has read them.

For requests with fast handlers, waking a worker would be the largest part of the work. So the
thread that polls runs them between two turns. After INLINE_S it reads what has come meanwhile,
before it runs more: many fast calls delay the loop no longer than that, and are not taken for one
long call. If a single one takes long, another thread polls a millisecond later (see StandbyPoller),
and wakes a worker for the other calls.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from pybrpc.base.guard import SERVER
from pybrpc.rpc.serving import handler_thread
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.interfaces import CallInvoker
from pybrpc.server.running.scheduler import Scheduler
from pybrpc.server.running.worker_slots import WorkerSlots
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

if TYPE_CHECKING:
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

INLINE_S = 0.0005
"""Seconds after which no more calls are begun before the next turn. Less than MAX_INLINE_S of the
StandbyPoller, by more than most handlers take."""

MAX_CALLS = 512
"""Calls that may wait. With more, a worker is woken: the dispatcher reads on meanwhile, though both
threads then take the GIL from each other."""


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
        thread.begin()
        stops_at = monotonic() + INLINE_S
        may_begin = not is_handed_over()
        while may_begin:
            call = scheduler.take()
            if call is None:
                break
            invoker.run(call, responses, thread)
            may_begin = not is_handed_over()
            if not may_begin:
                if not thread.was_displaced():
                    call.entry.note_slow()
            elif monotonic() < stops_at or scheduler.is_empty():
                continue
            elif self._goes_on_later():
                break
        responses.flush()

    def _goes_on_later(self) -> bool:
        """Have the calls that are left run after the next turn. False if none will come."""
        self._is_scheduled = True
        try:
            self._dispatcher.post(self._go_on)
        except DispatcherClosedError:
            self._is_scheduled = False
        return self._is_scheduled

    def _go_on(self) -> None:
        """In a turn: run the calls that are left after it."""
        self._is_scheduled = self._dispatcher.run_after_turn(self)
        if not self._is_scheduled:
            self._wake_worker()
