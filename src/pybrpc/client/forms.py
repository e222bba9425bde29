"""The forms of a call for threads: blocking, future, callback. Each is a Call with an `on_done`."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from pybrpc.base.waiting import acquire_until
from pybrpc.client.call import Call
from pybrpc.errors import RpcCanceledError, RpcError

logger = logging.getLogger("pybrpc")

DoneCallback = Callable[[Any, "RpcError | None"], None]


class BlockingCall(Call):
    """The calling thread waits. Its own clock is the deadline; no timer is needed."""

    __slots__ = ("_is_over",)

    def wait(self) -> Any:
        """Start, wait for the end, and give the response or raise the error.

        What a signal handler raises meanwhile (KeyboardInterrupt) cancels the call.
        """
        is_over = self._is_over = threading.Lock()
        is_over.acquire()
        try:
            self.start(expires=False)
            if not acquire_until(is_over, self.deadline):
                self.expire()
                is_over.acquire()
        except BaseException:
            self.abort(self.canceled_error())
            self.source.take_back(self)
            raise
        return self.message()

    def on_done(self) -> None:
        self._is_over.release()


class CallFuture(concurrent.futures.Future[Message]):
    """The future of one call. `cancel()` ends a call that is in flight, too."""

    _call: Call | None = None

    def cancel(self) -> bool:
        call = self._call
        if call is not None:
            call.abort(call.canceled_error())
        return self.cancelled()


class FutureCall(Call):
    """The end of the call is told to a CallFuture."""

    __slots__ = ("_channel", "_future")

    def begin(self, channel: object) -> CallFuture:
        """Start, and give the future. `channel` is kept until the end."""
        self._channel = channel
        future = self._future = CallFuture()
        future._call = self
        self.start()
        return future

    def on_done(self) -> None:
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


class CallbackCall(Call):
    """The end of the call is told to a function, on the dispatcher thread mostly."""

    __slots__ = ("_channel", "_done")

    def begin(self, done: DoneCallback, channel: object) -> None:
        """Start; `done(response, None)` or `done(None, error)` will be called once.

        `channel` is kept until then.
        """
        self._channel = channel
        self._done = done
        self.start()

    def on_done(self) -> None:
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
