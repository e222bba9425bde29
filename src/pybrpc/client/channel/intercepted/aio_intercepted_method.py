"""AioInterceptedMethod: a method of a stub with interceptors around its calls. For asyncio."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.base.guard import deliver_interrupt
from pybrpc.client.calls.aio_calls import CoroutineForm
from pybrpc.client.channel.aio_stub_method import AioStubMethod
from pybrpc.client.channel.intercepted.aio_intercepted_stream_call import AioInterceptedStreamCall
from pybrpc.client.channel.intercepted.intercepted_method import new_call
from pybrpc.client.channel.intercepted.user_errors import as_rpc_error
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout
from pybrpc.errors import HandlerCanceledError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.interceptors.chain import LoopChain
from pybrpc.rpc.interceptors.interceptor import InterceptedCall, Interceptor
from pybrpc.rpc.stream_options import StreamOptions

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod


class AioInterceptedMethod(AioStubMethod):
    """An AioStubMethod whose calls have interceptors around them. They run in a task."""

    __slots__ = ("_chain",)

    def __init__(
        self, channel: Any, method: CalledMethod, interceptors: tuple[Interceptor, ...]
    ) -> None:
        super().__init__(channel, method)
        self._chain = LoopChain(interceptors)

    def __call__(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> Any:
        loop = self._channel.binding().loop
        call = new_call(self, request, timeout, controller)
        return new_task(loop, self._run(call, timeout), self.method.full_name)

    async def _run(self, call: InterceptedCall, timeout: Timeout) -> Any:
        def last(request: Any) -> Any:
            return AioStubMethod.__call__(
                self, request, timeout=timeout, controller=call.controller
            )

        try:
            return await self._chain.run(call, last)
        except (SystemExit, KeyboardInterrupt) as error:
            # It ends this call, and not the loop.
            deliver_interrupt(error)
            raise as_rpc_error(error, call.method) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise as_rpc_error(error, call.method) from error

    def stream(
        self,
        request: Message,
        *,
        streams: int = 1,
        options: StreamOptions | None = None,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioInterceptedStreamCall:
        made = AioInterceptedStreamCall(
            self._channel, self.method, request, streams, options, timeout, controller
        )
        made._chain = self._chain
        return made


class CallTask(CoroutineForm, asyncio.Task[Any]):
    """The task of a call with interceptors, which is what the call returns."""


def new_task(loop: asyncio.AbstractEventLoop, coroutine: Any, name: str) -> CallTask:
    """Begin the task of a call: at once, from Python 3.12 on."""
    if sys.version_info >= (3, 12):
        task = CallTask(coroutine, loop=loop, name=name, eager_start=True)
    else:
        task = CallTask(coroutine, loop=loop, name=name)
    task.add_done_callback(_forget_canceled)
    return task


def _forget_canceled(task: asyncio.Task[Any]) -> None:
    """The handler that made the call was cancelled too: it may never ask for this error."""
    if not task.cancelled() and type(getattr(task, "_exception", None)) is HandlerCanceledError:
        task.exception()
