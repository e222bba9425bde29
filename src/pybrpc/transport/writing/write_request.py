"""WriteRequest: one message in the write queue of a socket."""

from __future__ import annotations

import enum
from typing import Protocol

from pybrpc.errors import Phase
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.transport.writing.outcomes import Outcome


class SocketMessage(Protocol):
    """A message that is turned into bytes only when its turn to be written comes.

    `append_to` runs once the connection is established, oldest message first, one at a time. It
    must not block. If it raises, whatever that is, this message fails alone and nothing of it
    reaches the wire.

    An attribute `size_hint_bytes`, if there is one, is what the message counts in the backlog
    until it is turned into bytes.
    """

    def append_to(self, buffer: IOBuf) -> None:
        """Append the bytes of this message to `buffer`."""


class Progress(enum.IntEnum):
    """How far a request has got. Written by the holder of the write right, read by any thread."""

    QUEUED = 0
    SET_UP = 1
    """A SocketMessage that was turned into bytes: it will be written, also if it is cancelled."""
    SENT = 2
    WRITTEN = 3


# Looked up once: to look a member up in an enum class costs as much as the rest of a request.
QUEUED, SET_UP, SENT, WRITTEN = Progress

_PHASES = {
    Progress.QUEUED: Phase.QUEUED,
    Progress.SET_UP: Phase.SENT,
    Progress.SENT: Phase.SENT,
    Progress.WRITTEN: Phase.WAITING,
}


NOTHING = IOBuf()
"""The buffer of all requests that were written, always empty: a call that waits for its response
keeps no buffer of its own."""


class WriteRequest:
    """One message in the queue: its bytes, the link to the next older one, the outcome callback.

    `next` is `UNCONNECTED` until the producer has linked it. The backlog counts it with
    `size_bytes`. `write_started` is True from before a system call that may take some of it, and
    False again if that took nothing. The holder sets it before it reads `is_canceled`, and a thread
    that cancels reads it afterwards, by `phase`: that is QUEUED only if nothing of the request is
    ever written.
    """

    __slots__ = (
        "data",
        "is_canceled",
        "message",
        "next",
        "notify_on_success",
        "on_outcome",
        "progress",
        "shutdown_write",
        "size_bytes",
        "write_started",
    )

    def __init__(
        self,
        data: IOBuf,
        message: SocketMessage | None = None,
        on_outcome: Outcome | None = None,
        notify_on_success: bool = False,
        shutdown_write: bool = False,
    ) -> None:
        self._set_fields(data, message, on_outcome, notify_on_success, shutdown_write)

    def _set_fields(
        self,
        data: IOBuf,
        message: SocketMessage | None,
        on_outcome: Outcome | None,
        notify_on_success: bool,
        shutdown_write: bool,
    ) -> None:
        """Set all fields, for the constructor and `new_write_request`."""
        self.data = data
        self.message = message
        self.next: WriteRequest | None = UNCONNECTED
        self.on_outcome = on_outcome
        self.notify_on_success = notify_on_success
        self.shutdown_write = shutdown_write
        self.size_bytes = len(data)
        self.progress = QUEUED
        self.is_canceled = False
        self.write_started = False

    def cancel(self) -> None:
        """Don't write it, unless some of it was taken for writing before its turn comes.

        Its outcome then is an RpcCanceledError, phase QUEUED; else it goes on as if it was not
        cancelled. So does a SocketMessage that was turned into bytes already. Any thread.
        """
        self.is_canceled = True

    def short_data(self, max_bytes: int) -> bytes | None:
        """All its bytes, if they are one block of at most so many, and nothing is to be done with
        the request but to write them."""
        data = self.data
        if self.message is not None or self.on_outcome is not None or self.shutdown_write:
            return None
        if len(data._blocks) != 1 or data._first or data._start or data._size > max_bytes:
            return None
        block = data._blocks[0]
        return block if type(block) is bytes else None

    @property
    def may_be_dropped(self) -> bool:
        """Whether it was cancelled in time. Only the holder of the write right may ask."""
        return self.is_canceled and self.progress is QUEUED

    @property
    def phase(self) -> Phase:
        """How far it has got, for errors. SENT also while a system call may be taking it, and for a
        SocketMessage that was turned into bytes, because a cancellation does not keep it back."""
        write_started = self.write_started
        phase = _PHASES[self.progress]
        return Phase.SENT if write_started and phase is Phase.QUEUED else phase

    def setup(self) -> None:
        """Turn a SocketMessage into bytes. Raises what the message raises."""
        message = self.message
        if message is not None:
            self.message = None
            buffer = IOBuf()
            message.append_to(buffer)
            self.data = buffer
            self.progress = SET_UP

    def __repr__(self) -> str:
        return f"<WriteRequest {self.progress.name.lower()} {len(self.data)} bytes left>"


def new_write_request(data: IOBuf) -> WriteRequest:
    """`WriteRequest(data)`. A typed function costs a compiled caller less than a constructor."""
    request = WriteRequest.__new__(WriteRequest)
    request._set_fields(data, None, None, False, False)
    return request


def new_message_request(message: SocketMessage, on_outcome: Outcome | None) -> WriteRequest:
    """The WriteRequest of a SocketMessage that counts nothing until it is turned into bytes."""
    request = WriteRequest.__new__(WriteRequest)
    request._set_fields(IOBuf(), message, on_outcome, False, False)
    return request


class _Marker(WriteRequest):
    """No message, but a value of `next` and of the head of a queue."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


UNCONNECTED: WriteRequest = _Marker("UNCONNECTED")
"""The value of `next` between the exchange of the head and the link."""

BUSY: WriteRequest = _Marker("BUSY")
"""The head while a thread has the write right and has taken all that was queued."""
