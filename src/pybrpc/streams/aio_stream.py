"""AioStream: one side of a stream, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import TypeVar

from google.protobuf.message import Message

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.lazy_modules import asyncio
from pybrpc.errors import RpcError, StreamClosedError
from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rpc.stream_options import DEFAULT_MESSAGES_IN_BATCH
from pybrpc.streams.base import (
    StreamBase,
    as_payload,
    as_payloads,
    check_count,
    timeout_error,
)
from pybrpc.streams.core import StreamCore
from pybrpc.streams.loop_calls import LoopWait
from pybrpc.streams.outgoing import Outgoing
from pybrpc.streams.stream import CLOSE_TIMEOUT_S
from pybrpc.streams.typed_stream import TypedBase

M = TypeVar("M", bound=Message)

MAX_AT_ONCE = 128
"""Messages that are sent, or taken, without waiting, after which other tasks have their turn."""


class AioStream(StreamBase):
    """One side of a stream, as `pybrpc.streams.Stream`, with methods to be awaited.

    For tasks of the loop in which it was made. Cancelling a task that waits in `recv` loses no
    message; a message of a `send` that is cancelled is sent completely or not at all.
    """

    __slots__ = ("_sent_at_once", "_taken_at_once")

    def __init__(self, core: StreamCore) -> None:
        super().__init__(core)
        self._sent_at_once = self._taken_at_once = 0
        """Messages since other tasks had their turn."""

    # --- sending ---

    async def send(self, message: BytesLike | IOBuf, timeout: float | None = None) -> None:
        """As `Stream.send`."""
        payload = message if type(message) is bytes else as_payload(message)
        self._sent_at_once += 1
        if self._sent_at_once > MAX_AT_ONCE:
            self._sent_at_once = 0
            await asyncio.sleep(0)  # before it is sent, so that a send that is cancelled is none
        if not self._core.try_send(payload):
            await self._send([payload], timeout)

    async def send_many(
        self, messages: Iterable[BytesLike | IOBuf], timeout: float | None = None
    ) -> None:
        """As `Stream.send_many`."""
        payloads = as_payloads(messages)
        self._sent_at_once += len(payloads)
        if self._sent_at_once > MAX_AT_ONCE:
            self._sent_at_once = 0
            await asyncio.sleep(0)
        if payloads:
            await self._send(payloads, timeout)

    async def drain(self, timeout: float | None = None) -> None:
        """As `Stream.drain`."""
        if not self._core.is_writable():
            await self._send([], timeout)

    async def wait_consumed(self, timeout: float | None = None) -> None:
        """As `Stream.wait_consumed`."""
        checked_timeout_s(timeout)
        core, wait = self._core, LoopWait()
        waiting = core.begin_consumed_wait(wait)
        if waiting is not None:
            await self._wait(wait, timeout, "waiting for the consumer of")
            if not waiting.is_reached:
                raise core.send_error()

    # --- receiving ---

    async def recv(self, timeout: float | None = None) -> bytes:
        """As `Stream.recv`."""
        core = self._core
        if core.consumer is not None:
            self._check_receives()
        self._taken_at_once += 1
        if self._taken_at_once > MAX_AT_ONCE:
            self._taken_at_once = 0
            await asyncio.sleep(0)  # before it is taken: it is not lost if the task is cancelled
        message = core.take()
        return await self._recv(timeout) if message is None else message

    def batches(
        self, n: int = DEFAULT_MESSAGES_IN_BATCH, timeout: float | None = None
    ) -> AsyncIterator[list[bytes]]:
        """As `Stream.batches`, for `async for`."""
        check_count(n)
        return self._batches(n, timeout)

    async def _batches(self, n: int, timeout: float | None) -> AsyncIterator[list[bytes]]:
        core = self._core
        self._check_receives()
        while True:
            if self._taken_at_once > MAX_AT_ONCE:
                self._taken_at_once = 0
                await asyncio.sleep(0)
            batch = core.take_batch(n)
            if batch:
                self._taken_at_once += len(batch)
                yield batch
            elif not await self._wait_for_message(timeout):
                return

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        # As `recv`, which is not called: a coroutine less for each message.
        core = self._core
        if core.consumer is not None:
            self._check_receives()
        self._taken_at_once += 1
        if self._taken_at_once > MAX_AT_ONCE:
            self._taken_at_once = 0
            await asyncio.sleep(0)
        message = core.take()
        if message is not None:
            return message
        try:
            return await self._recv(None)
        except StreamClosedError:
            raise StopAsyncIteration from None

    # --- its end ---

    async def close(self, timeout: float | None = None) -> None:
        """As `Stream.close`."""
        checked_timeout_s(timeout)
        core, wait = self._core, LoopWait()
        outgoing = core.close(wait)
        if outgoing is not None and not self._is_before_answer():
            try:
                await self._wait(wait, timeout, "closing")
            except BaseException:
                core.reset()
                raise
            if outgoing.error is not None and core.failure is not None:
                raise outgoing.error

    async def wait_closed(self, timeout: float | None = None) -> RpcError | None:
        """As `Stream.wait_closed`."""
        checked_timeout_s(timeout)
        wait = LoopWait()
        if not self._core.is_over:
            self._check_outside_functions()
        if self._core.begin_ended_wait(wait):
            await self._wait(wait, timeout, "waiting for the end of")
        return self.failure

    async def __aenter__(self) -> AioStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close(CLOSE_TIMEOUT_S)
        else:
            self.reset()

    def of(self, message_class: type[M]) -> AioTypedStream[M]:
        """As `Stream.of`."""
        return AioTypedStream(self, message_class)

    # --- waiting ---

    def _runner(self) -> int:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # in a thread without a loop
            return 0
        return 0 if task is None else id(task)

    async def _send(self, payloads: list[bytes | IOBuf], timeout: float | None) -> None:
        checked_timeout_s(timeout)
        core, wait = self._core, LoopWait()
        outgoing = Outgoing(payloads, wait)
        core.enqueue(outgoing)
        try:
            if not outgoing.is_over:
                await self._wait(wait, timeout, "sending on")
        except BaseException as error:
            if core.withdraw(outgoing):
                if isinstance(error, RpcError):
                    error.sent = outgoing.sent  # type: ignore[attr-defined]
                raise
            if not isinstance(error, RpcError):
                raise
        if outgoing.error is not None:
            raise outgoing.error

    async def _recv(self, timeout: float | None) -> bytes:
        core = self._core
        message: bytes | None = None
        while message is None:
            if not await self._wait_for_message(timeout):
                raise core.receive_error()
            message = core.take()
        return message

    async def _wait_for_message(self, timeout: float | None) -> bool:
        """Wait for a message. False if the stream was closed. Raises the error of one that has
        failed."""
        checked_timeout_s(timeout)
        core, wait = self._core, LoopWait()
        if core.begin_receive_wait(wait):
            await self._wait(wait, timeout, "receiving on")
        if core.unread:
            return True
        if core.has_ended:
            core.take()  # so that it is over
            if core.failure is not None:
                raise core.receive_error()
            return False
        return True

    async def _wait(self, wait: LoopWait, timeout: float | None, what: str) -> None:
        try:
            self._check_is_answered(what)
            timeout_s = checked_timeout_s(timeout)
            if timeout_s is None:
                await wait.future
            else:
                async with asyncio.timeout(timeout_s):
                    await wait.future
        except TimeoutError:
            self._core.forget_wait(wait)
            raise timeout_error(self._core, what, timeout) from None
        except BaseException:
            self._core.forget_wait(wait)
            raise


class AioTypedStream(TypedBase[M]):
    """An AioStream that sends and receives messages of one class, as TypedStream."""

    __slots__ = ("stream",)

    def __init__(self, stream: AioStream, message_class: type[M]) -> None:
        super().__init__(message_class)
        self.stream = stream

    async def send(self, message: M, timeout: float | None = None) -> None:
        """As `Stream.send`; BadRequestError for a message of another class."""
        await self.stream.send(self.bytes_of(message), timeout)

    async def send_many(self, messages: Iterable[M], timeout: float | None = None) -> None:
        """As `Stream.send_many`."""
        await self.stream.send_many([self.bytes_of(message) for message in messages], timeout)

    def send_nowait(self, message: M) -> None:
        """As `AioStream.send_nowait`."""
        self.stream.send_nowait(self.bytes_of(message))

    async def recv(self, timeout: float | None = None) -> M:
        """As `Stream.recv`."""
        return self.parsed(await self.stream.recv(timeout))

    def batches(
        self, n: int = DEFAULT_MESSAGES_IN_BATCH, timeout: float | None = None
    ) -> AsyncIterator[list[M]]:
        """As `Stream.batches`, for `async for`."""
        batches = self.stream.batches(n, timeout)
        return ([self.parsed(data) for data in batch] async for batch in batches)

    def __aiter__(self) -> AsyncIterator[M]:
        return self

    async def __anext__(self) -> M:
        return self.parsed(await self.stream.__anext__())

    def __repr__(self) -> str:
        return f"<AioTypedStream of {self._message_class.__name__}: {self.stream!r}>"
