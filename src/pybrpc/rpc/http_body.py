"""Bodies of HTTP in parts: what a handler reads, and what it writes.

Each has two forms with the same names: one that blocks, for plain handlers and threads, and one
whose methods are awaited, for async handlers. One thread, or task, at a time uses a body.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, TypeAlias

from pybrpc.base.checked_options import checked_count_or_none
from pybrpc.base.flags import WakeSignal
from pybrpc.errors import BadRequestError, RpcError
from pybrpc.rpc.server_sent_event import ServerSentEvent

Wake: TypeAlias = Callable[[], object]
Part: TypeAlias = "bytes | bytearray | memoryview | str | ServerSentEvent"


class PartSource(Protocol):
    """Parts that come from a peer. Any thread; no method blocks."""

    @property
    def is_over(self) -> bool:
        """Whether all was taken."""

    def take(self) -> bytes | None:
        """Take the next part. `None`: there is none now."""

    def failure(self) -> RpcError | None:
        """Why no more comes though the body is not complete."""

    def when_news(self, wake: Wake) -> None:
        """Call `wake` when one of these has changed, or too early."""


class PartSink(Protocol):
    """Parts that go to a peer. Any thread; no method blocks."""

    def put(self, data: bytes) -> None:
        """Send a part. OvercrowdedError in the handler, if too much was put before it returned;
        RpcError if the client is gone."""

    def has_room(self) -> bool:
        """Whether the next part may be put without waiting."""

    def when_room(self, wake: Wake) -> None:
        """Call `wake` once there is room, or too early."""

    def end(self) -> None:
        """The body is complete."""


class _Reader:
    """The base class of both forms."""

    __slots__ = ("_max_bytes", "_source")

    def __init__(self, source: PartSource, max_bytes: int) -> None:
        self._source = source
        self._max_bytes = max_bytes

    def _try_next(self) -> bytes | None:
        """The next part; b"" at the end; `None` if none is there yet. Raises RpcError."""
        source = self._source
        part = source.take()
        if part is None and source.is_over:
            return b""
        if part is None and (error := source.failure()) is not None:
            raise error
        return part

    def _limit(self, max_bytes: int | None) -> int:
        limit = checked_count_or_none("max_bytes", max_bytes)
        return self._max_bytes if limit is None else limit

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._source!r}>"


class RequestBody(_Reader):
    """The body of a request, as `controller.http_request.body` of a plain handler.

        for part in body: ...

    Iterating and `read` block until something comes. They raise a ConnectionFailedError if the
    client goes away, BadRequestError if it sends no HTTP, RpcCanceledError once the call is over.
    """

    __slots__ = ()

    def read(self, max_bytes: int | None = None) -> bytes:
        """The rest of the body. BadRequestError if it is longer than `max_bytes`, by default the
        `max_body_size` of the server. Blocks."""
        return _joined(iter(self), self._limit(max_bytes))

    def __iter__(self) -> Iterator[bytes]:
        signal = WakeSignal()
        while (part := self._try_next()) != b"":
            if part is None:
                self._source.when_news(signal.set)
                signal.wait()
            else:
                yield part


class AioRequestBody(_Reader):
    """The body of a request, as `controller.http_request.body` of an async handler.

        async for part in body: ...

    Errors as of RequestBody.
    """

    __slots__ = ()

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The rest of the body. BadRequestError if it is longer than `max_bytes`, by default the
        `max_body_size` of the server."""
        limit = self._limit(max_bytes)
        parts: list[bytes] = []
        left = limit
        async for part in self:
            left -= len(part)
            if left < 0:
                raise _too_long(limit)
            parts.append(part)
        return b"".join(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := self._try_next()) != b"":
            if part is None:
                await _woken(self._source.when_news)
            else:
                yield part


class _Writer:
    """The base class of both forms."""

    __slots__ = ("_is_closed", "_sink")

    def __init__(self, sink: PartSink) -> None:
        self._sink = sink
        self._is_closed = False

    def _put(self, part: Part) -> None:
        if self._is_closed:
            raise ValueError("the body is closed")
        self._sink.put(_bytes_of(part))

    def close(self) -> None:
        """The body is complete. It is closed too when nothing refers to it any more. Never
        blocks."""
        if not self._is_closed:
            self._is_closed = True
            self._sink.end()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # of one that was not made
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<{type(self).__name__} {state}, {self._sink!r}>"


class ProgressiveAttachment(_Writer):
    """The body of a response, from `controller.create_progressive_attachment()` of a plain handler.

    It is sent when the handler has returned, and from then on as it is written, by any thread.
    """

    __slots__ = ()

    def write(self, part: Part) -> None:
        """Send bytes, text or a ServerSentEvent. Blocks while the client has not taken much of what
        was written; raises a ConnectionFailedError once it is gone.

        The handler itself may write 1 MiB before it returns, then OvercrowdedError; other threads
        wait. ValueError if the body is closed. RpcCanceledError if the call has failed.
        """
        signal = WakeSignal()
        while not self._sink.has_room():
            self._sink.when_room(signal.set)
            signal.wait()
        self._put(part)

    def __enter__(self) -> ProgressiveAttachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AioProgressiveAttachment(_Writer):
    """The body of a response, from `controller.create_progressive_attachment()` of an async
    handler. As ProgressiveAttachment, but `write` is awaited."""

    __slots__ = ()

    async def write(self, part: Part) -> None:
        """As `ProgressiveAttachment.write`, but it waits instead of blocking."""
        while not self._sink.has_room():
            await _woken(self._sink.when_room)
        self._put(part)

    async def __aenter__(self) -> AioProgressiveAttachment:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()


def _joined(parts: Iterator[bytes], limit: int) -> bytes:
    found: list[bytes] = []
    left = limit
    for part in parts:
        left -= len(part)
        if left < 0:
            raise _too_long(limit)
        found.append(part)
    return b"".join(found)


def _too_long(limit: int) -> RpcError:
    return BadRequestError(f"the body is longer than max_bytes={limit}")


def _bytes_of(part: Any) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode("utf-8", "replace")
    if isinstance(part, ServerSentEvent):
        return part.to_bytes()
    if isinstance(part, bytearray | memoryview):
        return bytes(part)
    raise TypeError(
        f"a part of a body is bytes, str or a ServerSentEvent, not {type(part).__name__}"
    )


async def _woken(register: Callable[[Wake], object]) -> None:
    """Wait until the function that `register` gets is called, by any thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not future.done():
            future.set_result(None)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(end)

    register(wake)
    await future
