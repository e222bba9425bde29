"""StreamBase: what the streams of threads and of asyncio have in common."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from pybrpc.base.checked_options import shown
from pybrpc.errors import OvercrowdedError, RpcError, StreamTimeoutError, WouldDeadlockError
from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.streams.core import StreamCore
from pybrpc.streams.outgoing import Payload
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError


class StreamBase:
    """One side of a stream, for its user."""

    __slots__ = ("__weakref__", "_core", "_handler")

    def __init__(self, core: StreamCore) -> None:
        self._core = core
        self._handler = 0
        """The thread or task whose handler has accepted the stream; 0 once it has answered."""

    def note_handler(self) -> None:
        """The handler that runs now has accepted the stream, and is to answer."""
        self._handler = self._runner()

    def _runner(self) -> int:
        """The thread or task that runs now, as a number; 0 if there is none."""
        raise NotImplementedError

    def _is_before_answer(self) -> bool:
        """Whether this is in the handler whose answer opens the stream. To wait there would be in
        vain."""
        if not self._handler:
            return False
        core = self._core
        if core.is_open or core.has_ended:
            self._handler = 0
            return False
        return self._handler == self._runner()

    def _check_is_answered(self, what: str) -> None:
        if self._is_before_answer():
            raise WouldDeadlockError(
                f"{what} a stream before its handler has answered would wait for itself: the "
                "answer opens the stream. Return the response, and do this in the body= of "
                "accept_stream()"
            )

    @property
    def id(self) -> int:
        """The number of the stream, which this side has chosen."""
        return self._core.id

    @property
    def state(self) -> str:
        """State in a word or two, for people: "open", "closed", "closed by the peer", ..."""
        return self._core.state

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is sent or received, for whatever reason. Messages that have come
        before can still be received."""
        return self._core.has_ended or self._core.is_closing

    @property
    def failure(self) -> RpcError | None:
        """Why it has failed; `None` if it has not, or was closed."""
        failure = self._core.failure
        return None if failure is None else failure.copy()

    @property
    def peer(self) -> str:
        """The address of the other side."""
        return self._core.table.peer

    @property
    def unread_bytes(self) -> int:
        """Bytes that have come and were not taken yet, with a little for each message."""
        return self._core.unread_bytes

    @property
    def unconsumed_bytes(self) -> int:
        """Bytes that were sent, and that the other side has not consumed yet, as far as is known.
        Always all that was sent, if `max_buf_size` is 0 or less."""
        return self._core.produced - self._core.remote_consumed

    def is_writable(self) -> bool:
        """Whether a message would be sent at once."""
        return self._core.is_writable()

    def send_nowait(self, message: BytesLike | IOBuf) -> None:
        """Send a message now. OvercrowdedError (EOVERCROWDED) if there is no window, or no room in
        the connection; the RpcError of a stream that has ended."""
        if not self._core.try_send(as_payload(message)):
            core = self._core
            error = OvercrowdedError(f"{core.described} takes no more now", peer=core.table.peer)
            error.ended_call = True
            raise error

    def reset(self) -> None:
        """End the stream at once, on both sides: what waits, or was received, is dropped. The other
        side gets a StreamResetError. Never blocks."""
        self._core.reset()

    def _check_receives(self) -> None:
        consumer = self._core.consumer
        if consumer is not None and consumer.takes_messages:
            raise RuntimeError("on_messages gets the messages of this stream: don't receive them")

    def _check_outside_functions(self) -> None:
        """Before a wait for the end, which comes when `on_messages` has returned."""
        consumer = self._core.consumer
        if consumer is not None and consumer.takes_messages and consumer.is_current():
            raise WouldDeadlockError(
                "waiting for the end of a stream inside its on_messages would wait for itself"
            )

    def __del__(self) -> None:
        core: StreamCore | None = getattr(self, "_core", None)
        if core is None or core.is_over or core.is_closing:
            return
        unclosed = "" if core.has_ended else f"unclosed {self!r}"  # as it is before the reset
        # In a turn: the garbage collector may run where this thread has the lock of the streams.
        with contextlib.suppress(DispatcherClosedError):
            core.table.socket.dispatcher.post_cleanup(core.reset)
        if unclosed:
            warnings.warn(unclosed, ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        core = self._core
        state = core.state.replace(f"{core.described} ", "")  # which is here already
        return (
            f"<{type(self).__name__} {core.id} with {core.table.peer}, {state}, "
            f"{len(core.unread)} messages unread>"
        )


def as_payload(message: Any) -> Payload:
    """A message that does not change while it waits; TypeError if it is none."""
    if type(message) is bytes:
        return message
    if isinstance(message, IOBuf):
        return message.copy()
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message)
    hint = ""
    if isinstance(message, Message):
        name = type(message).__name__
        hint = f"; stream.of({name}) sends and receives messages of this class"
    elif isinstance(message, str):
        hint = "; encode it"
    raise TypeError(f"a message of a stream is bytes or a pybrpc.IOBuf, not {shown(message)}{hint}")


def as_payloads(messages: Iterable[Any]) -> list[Payload]:
    """Messages of `send_many`."""
    if isinstance(messages, bytes | bytearray | memoryview | str | IOBuf):
        raise TypeError(f"send_many takes a list of messages, not {shown(messages)}")
    return [as_payload(message) for message in messages]


def timeout_error(core: StreamCore, what: str, timeout: float | None) -> StreamTimeoutError:
    """The error of a wait that took too long."""
    text = f"{what} {core.described} took more than {timeout} s"
    return StreamTimeoutError(text, peer=core.table.peer)


def check_count(n: int) -> None:
    """`n` of `batches`."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"batches(n) needs a whole number >= 1, not {n!r}")
