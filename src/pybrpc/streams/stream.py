"""Stream: one side of a stream, for threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import get_ident
from types import TracebackType
from typing import TypeVar

from google.protobuf.message import Message

from pybrpc.base.deadline import NEVER, checked_timeout_s, deadline_after
from pybrpc.errors import RpcError, StreamClosedError, WouldDeadlockError
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
from pybrpc.streams.outgoing import Outgoing
from pybrpc.streams.thread_wait import ThreadWait
from pybrpc.streams.typed_stream import TypedBase

M = TypeVar("M", bound=Message)

CLOSE_TIMEOUT_S = 10.0
"""Seconds that leaving a `with` waits for the peer to take what waits; then the stream is reset."""


class Stream(StreamBase):
    """One side of a stream. Any thread may send, and any may receive; messages of one thread arrive
    in its order.

    Iterating over it gives the messages, until the peer closes the stream; if it fails instead, the
    error is raised. `with stream:` closes it at the end, and resets it if the block raised.

    No method may wait inside a callback of this library, nor in a handler on the stream that its
    answer opens: WouldDeadlockError.
    """

    __slots__ = ()

    # --- sending ---

    def send(self, message: BytesLike | IOBuf, timeout: float | None = None) -> None:
        """Send one message. Waits for window and room, at most `timeout` seconds.

        StreamTimeoutError: it was not sent. StreamClosedError, StreamResetError or another RpcError
        of a stream that has ended.
        """
        payload = message if type(message) is bytes else as_payload(message)
        if not self._core.try_send(payload):
            self._send([payload], timeout)

    def send_many(
        self, messages: Iterable[BytesLike | IOBuf], timeout: float | None = None
    ) -> None:
        """Send messages in order, as many as possible in one write, within `timeout` seconds. As
        `send`; `error.sent` of a StreamTimeoutError says how many were sent."""
        payloads = as_payloads(messages)
        if payloads:
            self._send(payloads, timeout)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until a message would be sent at once. Errors as of `send`."""
        if not self._core.is_writable():
            self._send([], timeout)

    def wait_consumed(self, timeout: float | None = None) -> None:
        """Wait until the peer's application has consumed all that was sent before.

        ValueError if `max_buf_size` is 0 or less: then the peer does not tell.
        """
        checked_timeout_s(timeout)
        core = self._core
        waiter = self._new_wait()
        waiting = core.begin_consumed_wait(waiter)
        if waiting is not None:
            self._wait(waiter, timeout, "waiting for the consumer of")
            if not waiting.is_reached:
                raise core.send_error()

    # --- receiving ---

    def recv(self, timeout: float | None = None) -> bytes:
        """The next message. Waits for it, at most `timeout` seconds: StreamTimeoutError.

        StreamClosedError if the stream was closed, StreamResetError or another RpcError if it has
        failed; the messages that have come before are given first.
        """
        core = self._core
        if core.consumer is not None:
            self._check_receives()
        message = core.take()
        return self._recv(timeout) if message is None else message

    def batches(
        self, n: int = DEFAULT_MESSAGES_IN_BATCH, timeout: float | None = None
    ) -> Iterator[list[bytes]]:
        """Iterate over lists of up to `n` messages: those that are there, at least one.

        `timeout`: seconds to wait for each.
        """
        check_count(n)
        return self._batches(n, timeout)

    def _batches(self, n: int, timeout: float | None) -> Iterator[list[bytes]]:
        core = self._core
        self._check_receives()
        while True:
            batch = core.take_batch(n)
            if batch:
                yield batch
            elif not self._wait_for_message(timeout):
                return

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self.recv()
        except StreamClosedError:
            raise StopIteration from None

    # --- its end ---

    def close(self, timeout: float | None = None) -> None:
        """Close the stream, after what waits has been sent: the peer receives it, then the end.

        Waits until that is written, at most `timeout` seconds: then the stream is reset, and this
        raises StreamTimeoutError; or the RpcError of a stream that fails before that. What was
        received and not taken is dropped. Does nothing if the stream has ended. In the handler that
        has accepted the stream it does not wait: what was sent goes out behind the answer.
        """
        checked_timeout_s(timeout)
        core = self._core
        waiter = self._new_wait()
        if not self.is_closed:
            self._check_may_wait("closing")
        outgoing = core.close(waiter)
        if outgoing is not None and not self._is_before_answer():
            try:
                self._wait(waiter, timeout, "closing")
            except BaseException:
                core.reset()
                raise
            if outgoing.error is not None and core.failure is not None:
                raise outgoing.error

    def wait_closed(self, timeout: float | None = None) -> RpcError | None:
        """Wait until the stream has ended, and all that was received is taken. Return why it has
        failed, or `None`."""
        checked_timeout_s(timeout)
        waiter = self._new_wait()
        if not self._core.is_over:
            self._check_outside_functions()
        if self._core.begin_ended_wait(waiter):
            self._wait(waiter, timeout, "waiting for the end of")
        return self.failure

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close(CLOSE_TIMEOUT_S)
        else:
            self.reset()

    def of(self, message_class: type[M]) -> TypedStream[M]:
        """A view of the stream that sends and receives protobuf messages of one class."""
        return TypedStream(self, message_class)

    # --- waiting ---

    def _runner(self) -> int:
        return get_ident()

    def _check_may_wait(self, what: str) -> None:
        if self._core.table.socket.dispatcher.is_current():
            raise WouldDeadlockError(
                f"{what} a stream inside a callback would wait for itself; use another thread"
            )

    def _send(self, payloads: list[bytes | IOBuf], timeout: float | None) -> None:
        checked_timeout_s(timeout)
        core = self._core
        waiter = self._new_wait()
        outgoing = Outgoing(payloads, waiter)
        core.enqueue(outgoing)
        try:
            if not outgoing.is_over:
                self._wait(waiter, timeout, "sending on")
        except BaseException as error:
            if core.withdraw(outgoing):
                if isinstance(error, RpcError):
                    error.sent = outgoing.sent  # type: ignore[attr-defined]
                raise
            if not isinstance(error, RpcError):
                raise
        if outgoing.error is not None:
            raise outgoing.error

    def _recv(self, timeout: float | None) -> bytes:
        core = self._core
        message: bytes | None = None
        while message is None:
            if not self._wait_for_message(timeout):
                raise core.receive_error()
            message = core.take()
        return message

    def _wait_for_message(self, timeout: float | None) -> bool:
        """Wait for a message. False if the stream was closed. Raises the error of one that has
        failed."""
        checked_timeout_s(timeout)
        core = self._core
        waiter = self._new_wait()
        if core.begin_receive_wait(waiter):
            self._wait(waiter, timeout, "receiving on")
        if core.unread:
            return True
        if core.has_ended:
            core.take()  # so that it is over
            if core.failure is not None:
                raise core.receive_error()
            return False
        return True

    def _new_wait(self) -> ThreadWait:
        return ThreadWait(self._core.table.socket.dispatcher)

    def _wait(self, waiter: ThreadWait, timeout: float | None, what: str) -> None:
        core = self._core
        timeout_s = checked_timeout_s(timeout)
        deadline = NEVER if timeout_s is None else deadline_after(timeout_s)
        try:
            self._check_may_wait(what)
            self._check_is_answered(what)
            if not core.table.socket.dispatcher.wait(waiter, deadline):
                raise timeout_error(core, what, timeout)
        except BaseException:
            core.forget_wait(waiter)
            raise


class TypedStream(TypedBase[M]):
    """A Stream that sends and receives messages of one class. The stream itself is `stream`.

    What does not parse is a BadResponseError where it is received; the stream goes on.
    """

    __slots__ = ("stream",)

    def __init__(self, stream: Stream, message_class: type[M]) -> None:
        super().__init__(message_class)
        self.stream = stream

    def send(self, message: M, timeout: float | None = None) -> None:
        """As `Stream.send`; BadRequestError for a message of another class."""
        self.stream.send(self.bytes_of(message), timeout)

    def send_many(self, messages: Iterable[M], timeout: float | None = None) -> None:
        """As `Stream.send_many`."""
        self.stream.send_many([self.bytes_of(message) for message in messages], timeout)

    def send_nowait(self, message: M) -> None:
        """As `Stream.send_nowait`."""
        self.stream.send_nowait(self.bytes_of(message))

    def recv(self, timeout: float | None = None) -> M:
        """As `Stream.recv`."""
        return self.parsed(self.stream.recv(timeout))

    def batches(
        self, n: int = DEFAULT_MESSAGES_IN_BATCH, timeout: float | None = None
    ) -> Iterator[list[M]]:
        """As `Stream.batches`."""
        return ([self.parsed(data) for data in batch] for batch in self.stream.batches(n, timeout))

    def __iter__(self) -> Iterator[M]:
        return self

    def __next__(self) -> M:
        return self.parsed(next(self.stream))

    def __repr__(self) -> str:
        return f"<TypedStream of {self._message_class.__name__}: {self.stream!r}>"
