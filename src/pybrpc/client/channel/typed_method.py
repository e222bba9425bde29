"""TypedMethod and AioTypedMethod: the types of the methods of generated stubs."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from pybrpc.client.channel.aio_stream_call import AioStreamCall
    from pybrpc.client.channel.stream_call import StreamCall
    from pybrpc.errors import RpcError
    from pybrpc.rpc.controller import Controller
    from pybrpc.rpc.stream_options import StreamOptions

Req = TypeVar("Req", contravariant=True)
Resp = TypeVar("Resp")

if TYPE_CHECKING:

    class AioCallFuture(asyncio.Future[Resp], Coroutine[Any, Any, Resp]):
        """A call of asyncio: a future, and a coroutine that awaits it, so that
        `asyncio.create_task` takes it too."""


class TypedMethod(Protocol[Req, Resp]):
    """A method of a generated stub for threads: it takes a `Req`, and gives a `Resp`.

    The four forms, their arguments and their errors are those of every method of a `pybrpc.Stub`.
    """

    def __call__(
        self,
        request: Req,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> Resp:
        """Call with `request`, and wait. Returns the response message or raises an RpcError.

        `timeout` in seconds; `None`: no limit; not given: that of the channel. `controller` has the
        options of the call, and gets its results.
        """

    def future(
        self,
        request: Req,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> concurrent.futures.Future[Resp]:
        """Start a call with `request`. Never blocks. The future gives the response or raises the
        RpcError. `timeout` and `controller` as for a call that waits."""

    def with_callback(
        self,
        request: Req,
        done: Callable[[Resp | None, RpcError | None], object],
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> None:
        """Start a call with `request`. Never blocks. Ends with `done(response, None)` or
        `done(None, error)`.

        `done` is called once, mostly by the dispatcher thread: it must not block. `timeout` and
        `controller` as for a call that waits.
        """

    def stream(
        self,
        request: Req,
        *,
        streams: int = 1,
        options: StreamOptions | None = None,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> StreamCall[Resp]:
        """A call with `request` that opens `streams` streams of bytes with `options`, for `with`:
        nothing is sent before. `timeout` and `controller` as for a call that waits."""


class AioTypedMethod(Protocol[Req, Resp]):
    """A method of a generated stub for asyncio: it takes a `Req`, and gives a `Resp`."""

    def __call__(
        self,
        request: Req,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioCallFuture[Resp]:
        """Start a call with `request`. Awaiting the future gives the response or raises an
        RpcError.

        `timeout` and `controller` as for `pybrpc.TypedMethod`. Cancelling the future ends the call.
        """

    def stream(
        self,
        request: Req,
        *,
        streams: int = 1,
        options: StreamOptions | None = None,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioStreamCall[Resp]:
        """A call with `request` that opens `streams` streams of bytes with `options`, for
        `async with`. `timeout` and `controller` as for a call that is awaited."""
