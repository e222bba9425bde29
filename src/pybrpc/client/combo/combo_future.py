"""ComboFuture and AioComboFuture: the futures of a call on a combined channel."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from pybrpc.client.calls.aio_calls import CoroutineForm
from pybrpc.client.calls.sync_calls import CallFuture
from pybrpc.client.combo.sub_call import SubResult
from pybrpc.errors import HandlerCanceledError, RpcError

if TYPE_CHECKING:
    from pybrpc.client.combo.combo_call import ComboCall


class ComboFuture(CallFuture):
    """The future of a call on a combined channel. `cancel()` ends the call and its sub calls.

    Its done callbacks run in the dispatcher's thread, in a thread for callbacks, or in the one that
    cancels.
    """

    def __init__(self, call: ComboCall, dispatcher: Any) -> None:
        super().__init__()
        self._combo = call
        self._method = call.method
        self._dispatcher = dispatcher

    def as_completed(self) -> Iterator[SubResult]:
        """The sub calls, each as soon as it has ended, until the whole call has. Blocks between
        them; raises nothing for sub calls that fail. Not in a callback: WouldDeadlockError."""
        self._check_may_wait("as_completed", None)
        return self._each()

    def _each(self) -> Iterator[SubResult]:
        ended: queue.SimpleQueue[SubResult | None] = queue.SimpleQueue()
        self._combo.follow(ended.put)
        while (result := ended.get()) is not None:
            yield result

    def cancel(self) -> bool:
        """End the call and its sub calls; True if it is cancelled. Its callbacks have run when this
        returns."""
        if not self.done():
            call = self._combo
            call.cancel(call.canceled_error())
        return self.cancelled()

    def settle(self, response: Any, error: RpcError | None, is_canceled: bool) -> None:
        """Set the outcome. Once."""
        try:
            if is_canceled:
                if concurrent.futures.Future.cancel(self):
                    self.set_running_or_notify_cancel()
            elif error is None:
                self.set_result(response)
            else:
                self.set_exception(error)
        finally:
            del self, error

    def _check_may_wait(self, name: str, timeout: float | None) -> None:
        super()._check_may_wait(name, timeout)
        if not self.done() and (timeout is None or timeout > 0):
            self._combo.channel.check_may_block(self._combo.method)


class AioComboFuture(CoroutineForm, asyncio.Future[Any]):
    """The future of a call on a combined channel of asyncio. It is a coroutine too. Cancelling it,
    or the task that awaits it, ends the call and its sub calls."""

    def __init__(self, call: ComboCall, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._combo = call

    async def as_completed(self) -> AsyncIterator[SubResult]:
        """As `ComboFuture.as_completed`, for `async for`."""
        ended: asyncio.Queue[SubResult | None] = asyncio.Queue()
        self._combo.follow(ended.put_nowait)
        while (result := await ended.get()) is not None:
            yield result

    def cancel(self, msg: Any | None = None) -> bool:
        is_canceled = super().cancel(msg)
        if is_canceled:
            call = self._combo
            call.cancel(call.canceled_error())
        return is_canceled

    def settle(self, response: Any, error: RpcError | None, is_canceled: bool) -> None:
        """Set the outcome. Once, in its loop."""
        try:
            if self.done():
                return
            if is_canceled:
                super().cancel()
            elif error is None:
                self.set_result(response)
            else:
                self.set_exception(error)
                if type(error) is HandlerCanceledError:
                    # The handler was cancelled too, so it may never ask for this error.
                    self._log_traceback = False
        finally:
            del self, error

    @property
    def __name__(self) -> str:
        """The name in the repr of the task."""
        return self._combo.method.full_name
