"""HttpStreamCall and AioHttpStreamCall: a call whose response is read as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Generic, TypeVar

from pybrpc.base.deadline import NEVER, checked_timeout_s, deadline_after
from pybrpc.base.lazy_modules import asyncio
from pybrpc.client.channel.http_call import PlainHttpCall
from pybrpc.client.connections.http_body import IncomingBody, ProgressiveResponse
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    Phase,
    RpcTimeoutError,
    WouldDeadlockError,
)
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.streams.loop_calls import LoopWait
from pybrpc.streams.thread_wait import ThreadWait
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

B = TypeVar("B")


class HttpBodyBase:
    """The part that both bodies have in common."""

    __slots__ = ("_core", "_dispatcher", "_max_body_size", "_owner", "_timeout_s")

    def __init__(
        self,
        owner: ProgressiveResponse,
        dispatcher: EventDispatcher,
        timeout_s: float | None,
        max_body_size: int,
    ) -> None:
        self._owner = owner
        self._core: IncomingBody = owner.body
        self._dispatcher = dispatcher
        self._timeout_s = timeout_s
        self._max_body_size = max_body_size

    @property
    def is_over(self) -> bool:
        """Whether the end has come and all was taken, or it was closed, or has failed."""
        return self._core.is_over

    @property
    def trailers(self) -> HttpHeaders | None:
        """The headers after a chunked body, once it is over; `None` if there are none."""
        return self._core.trailers

    def close(self) -> None:
        """Take no more. If the end has not come, the connection is closed. Never blocks."""
        if not self._core.is_over:
            self._core.abandon()

    def _taken(self) -> bytes | None:
        """The bytes that have come; b"" at the end, `None` if there are none now. Raises the error
        of a body that has failed."""
        core = self._core
        has_ended = core.has_ended
        data = core.take()
        if data is not None or not has_ended:
            return data
        if core.error is not None:
            raise core.error.copy()
        return b""

    def _check_size(self, size: int) -> None:
        if size > self._max_body_size:
            text = f"the body is longer than max_body_size={self._max_body_size}"
            error = BadResponseError(text, phase=Phase.WAITING)
            self._core.abandon(error)
            raise error.copy()

    def _timeout_error(self) -> RpcTimeoutError:
        """For a peer that has been silent too long: nothing more is taken from it."""
        text = f"no part of the body has come in progressive_read_timeout={self._timeout_s:g}s"
        code = ErrorCode.EPROGREADTIMEOUT
        self._core.abandon(RpcTimeoutError(text, code=code, phase=Phase.WAITING))
        return RpcTimeoutError(text, code=code, phase=Phase.WAITING)

    def __repr__(self) -> str:
        core = self._core
        state = "over" if core.is_over else "open"
        if core.error is not None:
            state = f"failed: {core.error.text}"
        return f"<{type(self).__name__} {state}>"


class HttpBody(HttpBodyBase):
    """The body of a response, as it comes: `for part in body`. For one thread at a time.

    Parts are bytes, of any length above 0, as they were sent: nothing is decompressed. While much
    is unread, nothing more is read from the server.
    """

    __slots__ = ()

    def read(self) -> bytes:
        """The rest of the body. BadResponseError above `max_body_size` of the channel."""
        parts: list[bytes] = []
        size = 0
        for part in self:
            size += len(part)
            self._check_size(size)
            parts.append(part)
        return b"".join(parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while (data := self._taken()) is None:
            self._wait()
        if not data:
            raise StopIteration
        return data

    def _wait(self) -> None:
        dispatcher = self._dispatcher
        if dispatcher.is_current():
            raise WouldDeadlockError(
                "reading a body inside a callback would wait for itself; use another thread"
            )
        wait = ThreadWait(dispatcher)
        if not self._core.begin_wait(wait):
            return
        deadline = NEVER if self._timeout_s is None else deadline_after(self._timeout_s)
        try:
            has_come = dispatcher.wait(wait, deadline)
        finally:
            self._core.forget_wait(wait)
        if not has_come:
            raise self._timeout_error()


class AioHttpBody(HttpBodyBase):
    """The body of a response, as it comes: `async for part in body`. For one task at a time. As
    HttpBody."""

    __slots__ = ()

    async def read(self) -> bytes:
        """The rest of the body. BadResponseError above `max_body_size` of the channel."""
        parts: list[bytes] = []
        size = 0
        async for part in self:
            size += len(part)
            self._check_size(size)
            parts.append(part)
        return b"".join(parts)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while (data := self._taken()) is None:
            await self._wait()
        if not data:
            raise StopAsyncIteration
        return data

    async def _wait(self) -> None:
        wait = LoopWait()
        if not self._core.begin_wait(wait):
            return
        dispatcher = self._dispatcher
        dispatcher.require_polling()
        try:
            done, _ = await asyncio.wait({wait.future}, timeout=self._timeout_s)
        finally:
            dispatcher.release_polling()
            self._core.forget_wait(wait)
        if not done:
            raise self._timeout_error()


class HttpStreamResponse(Generic[B]):
    """A response whose body is read as it comes.

    headers  HttpHeaders, by names without regard to case
    body     an HttpBody, or of a `pybrpc.aio.Channel` an AioHttpBody
    """

    __slots__ = ("_owner", "body", "headers")

    def __init__(self, owner: ProgressiveResponse, body: B) -> None:
        self._owner = owner
        self.headers = owner.head.headers
        self.body = body

    @property
    def status(self) -> int:
        """The status, such as 404."""
        return self._owner.head.status

    @property
    def reason(self) -> str:
        """The text behind the status."""
        return self._owner.head.reason

    def __repr__(self) -> str:
        return f"<HttpStreamResponse {self.status} {self.reason}, {self.body!r}>"


class _StreamCallBase:
    """The part that both forms have in common."""

    __slots__ = ("_body", "_call", "_is_begun", "_timeout_s")

    def __init__(self, call: PlainHttpCall, progressive_read_timeout: float | None) -> None:
        self._call = call
        self._timeout_s = checked_timeout_s(progressive_read_timeout, "progressive_read_timeout")
        self._is_begun = False
        self._body: HttpBodyBase | None = None

    def _begin(self) -> None:
        if self._is_begun:
            raise RuntimeError(f"{self!r} was opened before; make another call")
        self._is_begun = True

    def _max_body_size(self) -> int:
        size: int = self._call.channel.call_options.max_body_size
        return size

    def _close(self) -> None:
        if self._body is not None:
            self._body.close()

    def __repr__(self) -> str:
        state = "begun" if self._is_begun else "not begun"
        return f"<{type(self).__name__} {self._call.request!r} {state}>"


class HttpStreamCall(_StreamCallBase):
    """`with channel.http("GET", path, stream=True) as response:`

    `with` makes the call, and waits for the head of the response. The end of the block closes the
    body: the connection is used again if all of it was read.
    """

    __slots__ = ()

    def __enter__(self) -> HttpStreamResponse[HttpBody]:
        self._begin()
        owner: ProgressiveResponse = self._call.run()
        dispatcher = self._call.channel.source().dispatcher
        body = HttpBody(owner, dispatcher, self._timeout_s, self._max_body_size())
        self._body = body
        return HttpStreamResponse(owner, body)

    def __exit__(self, *exception: object) -> None:
        self._close()


class AioHttpStreamCall(_StreamCallBase):
    """`async with channel.http("GET", path, stream=True) as response:`, as HttpStreamCall."""

    __slots__ = ()

    async def __aenter__(self) -> HttpStreamResponse[AioHttpBody]:
        self._begin()
        owner: ProgressiveResponse = await self._call.run_in_loop()
        dispatcher = self._call.channel.binding().source.dispatcher
        body = AioHttpBody(owner, dispatcher, self._timeout_s, self._max_body_size())
        self._body = body
        return HttpStreamResponse(owner, body)

    async def __aexit__(self, *exception: object) -> None:
        self._close()
