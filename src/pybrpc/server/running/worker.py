"""Worker: one thread of a WorkerPool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pybrpc.base.flags import WakeSignal
from pybrpc.base.guard import SERVER
from pybrpc.rpc.serving import forget_handler_thread, handler_thread
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.interfaces import CallInvoker
from pybrpc.server.running.scheduler import Scheduler


class Worker:
    """One thread, which waits for `wake_signal` while there is nothing to do."""

    __slots__ = (
        "_handler_thread",
        "_invoker",
        "_on_started",
        "_scheduler",
        "_wait_for_work",
        "call",
        "is_running",
        "response_batch",
        "thread",
        "wake_signal",
    )

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        invoker: CallInvoker,
        on_started: Callable[[], object],
        wait_for_work: Callable[[Any], bool],
    ) -> None:
        """`on_started` is called first in the thread; `wait_for_work(worker)` blocks, and returns
        False when the thread has to end."""
        self._scheduler = scheduler
        self._invoker = invoker
        self._on_started = on_started
        self._wait_for_work = wait_for_work
        self.call: Any = None
        """A call for this worker, which is not in the queue."""
        self.is_running = False
        """Whether it may be in a handler."""
        self.response_batch = ResponseBatch()
        self.wake_signal = WakeSignal()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        self._guarded(self._on_started)
        self._handler_thread = handler_thread()
        while self._guarded(self._work_and_wait):
            continue
        forget_handler_thread()

    def _guarded(self, function: Callable[[], object]) -> bool:
        """Call `function`: False if it returned False. An exception, such as one that was set in
        this thread from outside, is logged: it ends no worker."""
        try:
            return function() is not False
        except BaseException as error:
            SERVER.caught("%s was interrupted", self.thread.name, error=error)
            return True

    def _work_and_wait(self) -> bool:
        self._work()
        return self._wait_for_work(self)

    def _work(self) -> None:
        self.is_running = True
        call, self.call = self.call, None
        scheduler, invoker, response_batch = self._scheduler, self._invoker, self.response_batch
        thread = self._handler_thread
        try:
            if call is None:
                call = scheduler.take()
            while call is not None:
                invoker.run(call, response_batch, thread)
                call = scheduler.take()
        finally:
            response_batch.flush()
            self.is_running = False

    def __repr__(self) -> str:
        return f"<Worker {self.thread.name}{', running' if self.is_running else ''}>"
