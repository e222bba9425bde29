"""InterceptedFuture: the future of a call with interceptors around it."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any

from pybrpc.client.calls.sync_calls import CallFuture
from pybrpc.rpc.answering_loops import check_may_block
from pybrpc.rpc.method import Method
from pybrpc.rpc.raw_method import RawMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pybrpc.base.endpoint import Endpoint
    from pybrpc.client.calls.call_options import CalledMethod
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher


class InterceptedFuture(CallFuture):
    """A CallFuture that is set once the interceptors have ended. `cancel()` ends the call.

    Its done callbacks run in a thread for callbacks, or in the one that cancels.
    """

    def __init__(
        self,
        method: CalledMethod,
        endpoints: Callable[[], Sequence[Endpoint]],
        dispatcher: EventDispatcher,
    ) -> None:
        super().__init__()
        self._method = method
        self._dispatcher = dispatcher
        self._endpoints = endpoints
        self._inner: CallFuture | None = None

    def follow(self, inner: CallFuture) -> CallFuture:
        """The call has begun: cancel it with this one. Returns it."""
        # Store, then load, on both sides (see base.atomic).
        self._inner = inner
        if self.cancelled():
            inner.cancel()
        return inner

    def cancel(self) -> bool:
        is_canceled = concurrent.futures.Future.cancel(self)
        inner = self._inner
        if is_canceled and inner is not None:
            inner.cancel()
        return is_canceled

    def settle(self, response: Any, error: BaseException | None) -> None:
        """Set the outcome, unless it was cancelled. Once."""
        try:
            self._inner = None
            if not self.set_running_or_notify_cancel():
                return
            if error is None:
                self.set_result(response)
            else:
                self.set_exception(error)
        finally:
            del self, error

    def _check_may_wait(self, name: str, timeout: float | None) -> None:
        super()._check_may_wait(name, timeout)
        method = self._method
        is_waiting = not self.done() and (timeout is None or timeout > 0)
        if is_waiting and isinstance(method, Method | RawMethod):
            check_may_block(self._endpoints, method.service_name, method.name)
