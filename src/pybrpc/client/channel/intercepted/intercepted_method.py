"""InterceptedMethod: a method of a stub with interceptors around its calls. For threads."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.base.checked_options import checked_instance
from pybrpc.base.guard import CLIENT
from pybrpc.client.calls.sync_calls import CallFuture, DoneCallback
from pybrpc.client.channel.intercepted.future_run import run_around
from pybrpc.client.channel.intercepted.intercepted_future import InterceptedFuture
from pybrpc.client.channel.intercepted.intercepted_stream_call import (
    InterceptedStreamCall,
)
from pybrpc.client.channel.intercepted.user_errors import as_rpc_error
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout
from pybrpc.client.channel.stub import StubMethod
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.interceptors.chain import ThreadChain
from pybrpc.rpc.interceptors.interceptor import InterceptedCall, Interceptor
from pybrpc.rpc.stream_options import StreamOptions

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod


class InterceptedMethod(StubMethod):
    """A StubMethod whose calls have interceptors around them.

    They run in the calling thread. Those of `.future` and `.with_callback` run in threads for
    callbacks, as `future_run` says.
    """

    __slots__ = ("_chain",)

    def __init__(
        self, channel: Any, method: CalledMethod, interceptors: tuple[Interceptor, ...]
    ) -> None:
        super().__init__(channel, method)
        self._chain = ThreadChain(interceptors)

    def __call__(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> Any:
        call = new_call(self, request, timeout, controller)

        def last(request: Any) -> Any:
            return StubMethod.__call__(self, request, timeout=timeout, controller=call.controller)

        return self._chain.run(call, last)

    def future(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> CallFuture:
        return self._future(request, timeout, controller)

    def _future(
        self,
        request: Any,
        timeout: Timeout,
        controller: Controller | None,
        done: FutureDone | None = None,
    ) -> CallFuture:
        call = new_call(self, request, timeout, controller)

        def start(request: Any) -> CallFuture:
            return StubMethod.future(self, request, timeout=timeout, controller=call.controller)

        channel: Any = self._channel
        future = InterceptedFuture(self.method, channel.endpoints, channel.source().dispatcher)
        if done is not None:
            # Before it can end: so the callback never runs in the caller's thread.
            future.add_done_callback(done)
        run_around(self._chain, call, start, future, channel)
        return future

    def with_callback(
        self,
        request: Message,
        done: DoneCallback,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> None:
        if not callable(done):
            raise TypeError(f"done must be a function of a response and an error, not {done!r}")
        self._future(request, timeout, controller, FutureDone(done, self.method.full_name))

    def stream(
        self,
        request: Message,
        *,
        streams: int = 1,
        options: StreamOptions | None = None,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> InterceptedStreamCall:
        made = InterceptedStreamCall(
            self._channel, self.method, request, streams, options, timeout, controller
        )
        made._chain = self._chain
        return made


def new_call(
    method: Any,
    request: Any,
    timeout: Timeout,
    controller: Controller | None,
    is_stream: bool = False,
) -> InterceptedCall:
    """The call of a stub's method. Raises what a call raises for wrong options."""
    channel = method._channel
    if controller is not None:
        checked_instance("controller", controller, Controller)
    channel.timeout_of_call(timeout, controller)
    return InterceptedCall(
        "client",
        method.method.full_name,
        request,
        Controller() if controller is None else controller,
        channel.endpoint,
        is_stream,
    )


class FutureDone:
    """A done callback of a future, which calls the callback of a call."""

    __slots__ = ("_done", "_method_name")

    def __init__(self, done: DoneCallback, method_name: str) -> None:
        self._done = done
        self._method_name = method_name

    def __call__(self, future: Any) -> None:
        error = future.exception()
        try:
            if error is None:
                returned: Any = self._done(future.result(), None)
            else:
                returned = self._done(None, as_rpc_error(error, self._method_name))
            if returned is not None and inspect.iscoroutine(returned):
                returned.close()
                CLIENT.error("%r is an async function, and is not run: make it a plain one", self)
        finally:
            error = None

    def __repr__(self) -> str:
        return f"<the callback of a call of {self._method_name}>"
