"""The forms of a call for threads: blocking, future, callback. Each is a Call with an `on_done`.

`new_blocking_call` and its like make them: a typed function costs a compiled caller less than a
constructor. Their arguments are those of `Call.set_up`.
"""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.base.deadline import NEVER
from pybrpc.client.calls.call import Call
from pybrpc.errors import RpcCanceledError, RpcError, WouldDeadlockError
from pybrpc.transport.dispatch.poller_role import Waiter

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.calls.interfaces import ConnectionSource
    from pybrpc.rpc.controller import Controller

logger = logging.getLogger("pybrpc")

DoneCallback = Callable[[Any, "RpcError | None"], None]


class BlockingCall(Call):
    """A call for which the calling thread waits. The thread itself watches the deadline, so there
    is no timer."""

    __slots__ = ("_waiter",)

    def wait(self) -> Any:
        """Start, wait for the end, and return the response or raise the error.

        What a signal handler raises meanwhile (KeyboardInterrupt) cancels the call.
        """
        dispatcher = self.source.dispatcher
        if dispatcher.is_current():
            raise WouldDeadlockError(
                f"a blocking call of {self.method.full_name} inside a callback would wait for "
                "itself; use .future or .with_callback there, or another thread"
            )
        waiter = self._waiter = Waiter()
        try:
            self.start(expires=False)
            if not dispatcher.wait(waiter, self.deadline):
                self.expire()
                dispatcher.wait(waiter, NEVER)
        except BaseException:
            self.abort(self.canceled_error())
            self.source.reclaim(self)
            raise
        return self.message()

    def on_done(self) -> None:
        self._waiter.end()


def new_blocking_call(
    source: ConnectionSource,
    method: CalledMethod,
    request: Any,
    timeout_s: float | None,
    options: CallOptions,
    controller: Controller | None,
) -> BlockingCall:
    call = BlockingCall.__new__(BlockingCall)
    call.set_up(source, method, request, timeout_s, options, controller)
    return call


class CallFuture(concurrent.futures.Future[Message]):
    """The future of one call. `cancel()` ends a call that is in flight, too."""

    _call: Call | None = None

    def cancel(self) -> bool:
        call = self._call
        if call is not None:
            call.abort(call.canceled_error())
        return self.cancelled()


class FutureCall(Call):
    """A call that ends by setting a CallFuture."""

    __slots__ = ("_channel", "_dispatcher", "_future")

    def begin(self, channel: object) -> CallFuture:
        """Start, and return the future. `channel` is kept until the end."""
        self._channel = channel
        future = self._future = CallFuture()
        future._call = self
        self._dispatcher = self.source.dispatcher
        self._dispatcher.require_polling()
        self.start()
        return future

    def on_done(self) -> None:
        self._dispatcher.release_polling()
        future = self._future
        future._call = None
        if isinstance(self.error, RpcCanceledError) and not self.error.is_remote:
            concurrent.futures.Future.cancel(future)
            future.set_running_or_notify_cancel()
            return
        try:
            self._settle(future)
        except SystemExit:
            logger.exception("a done callback of a call of %s raised", self.method.full_name)

    def _settle(self, future: CallFuture) -> None:
        try:
            message = self.message()
        except RpcError as error:
            future.set_exception(error)
        else:
            future.set_result(message)


def new_future_call(
    source: ConnectionSource,
    method: CalledMethod,
    request: Any,
    timeout_s: float | None,
    options: CallOptions,
    controller: Controller | None,
) -> FutureCall:
    call = FutureCall.__new__(FutureCall)
    call.set_up(source, method, request, timeout_s, options, controller)
    return call


class CallbackCall(Call):
    """A call that ends by calling a function, mostly on the dispatcher thread."""

    __slots__ = ("_channel", "_dispatcher", "_done")

    def begin(self, done: DoneCallback, channel: object) -> None:
        """Start; exactly one of `done(response, None)` and `done(None, error)` follows.

        `channel` is kept until then.
        """
        self._channel = channel
        self._done = done
        self._dispatcher = self.source.dispatcher
        self._dispatcher.require_polling()
        self.start()

    def on_done(self) -> None:
        self._dispatcher.release_polling()
        message: Message | None = None
        failure: RpcError | None = None
        try:
            message = self.message()
        except RpcError as error:
            failure = error
        try:
            self._done(message, failure)
        except (Exception, SystemExit):
            logger.exception("the callback of a call of %s raised", self.method.full_name)


def new_callback_call(
    source: ConnectionSource,
    method: CalledMethod,
    request: Any,
    timeout_s: float | None,
    options: CallOptions,
    controller: Controller | None,
) -> CallbackCall:
    call = CallbackCall.__new__(CallbackCall)
    call.set_up(source, method, request, timeout_s, options, controller)
    return call
