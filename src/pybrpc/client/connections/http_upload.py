"""Upload: the body of a request that is sent in parts, in chunks, while its call is in flight.

The thread or task that made the call sends the parts. The next one is taken only when the kernel
has taken the one before: so memory is bounded, and a slow server slows the upload down. The call
ends it, whatever its end is: a server may answer before it has all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.writer import Body, RequestWriter
from pybrpc.transport.writing.outcomes import InternalOutcome
from pybrpc.transport.writing.write_request import WriteRequest

if TYPE_CHECKING:
    from pybrpc.transport.socket.socket import Socket


class Wait(Protocol):
    """A thread or a task that waits until the next part may be sent."""

    def end(self) -> None:
        """Wake it. Any thread; called once."""


class Upload:
    """One body. `attach` is for the connection; `send` and `finish` for one thread at a time; the
    other methods for any. Nothing blocks.

    writer  makes the chunks; set when the head is packed
    """

    __slots__ = ("_is_busy", "_socket", "_waits", "is_closed", "is_finished", "writer")

    def __init__(self) -> None:
        self.writer: RequestWriter | None = None
        self.is_closed = False
        """Whether nothing more is sent: the call has ended."""
        self.is_finished = False
        """Whether the end of the body is turned into bytes: what is written later follows it."""
        self._socket: Socket | None = None
        self._is_busy = False
        self._waits: dict[Wait, None] = {}

    def attach(self, socket: Socket) -> None:
        """The head is turned into bytes: parts may follow it. With the write right."""
        self._socket = socket
        self._wake()

    def close(self) -> None:
        """The call has ended."""
        self.is_closed = True
        self._wake()

    def is_ready(self) -> bool:
        """Whether there is nothing to wait for: a part may be sent, or none any more."""
        return self.is_closed or (self._socket is not None and not self._is_busy)

    def begin_wait(self, wait: Wait) -> bool:
        """Have `wait` ended when `is_ready`. False, and nothing done, if it is already."""
        self._waits[wait] = None
        if self.is_ready():
            return self._waits.pop(wait, wait) is not None
        return True

    def forget_wait(self, wait: Wait) -> None:
        """Undo `begin_wait`."""
        self._waits.pop(wait, None)

    def send(self, part: Body) -> None:
        """Send a part, when `is_ready`; nothing if it is closed. TypeError if it is no bytes."""
        if self.writer is not None and not self.is_closed:
            self._write(self.writer.part(part))

    def finish(self) -> None:
        """Send the end of the body, when `is_ready`."""
        if self.writer is not None and not self.is_closed:
            self._write(IOBuf(), _End(self, self.writer.end()))

    def _write(self, data: IOBuf, message: _End | None = None) -> None:
        socket = self._socket
        if self.is_closed or socket is None or not (data or message):
            return
        self._is_busy = True
        outcome = InternalOutcome(self._on_outcome)
        try:
            socket.write_request(WriteRequest(data, message, outcome, notify_on_success=True))
        except RpcError as error:
            self._on_outcome(error)

    def _on_outcome(self, error: RpcError | None) -> None:
        """The kernel has taken a part, or never will. The call tells why, if it fails with it."""
        if error is not None:
            self.is_closed = True
        self._is_busy = False
        self._wake()

    def _wake(self) -> None:
        waits = self._waits
        while waits:
            try:
                wait, _ = waits.popitem()
            except KeyError:
                return
            wait.end()

    def __repr__(self) -> str:
        state = "finished" if self.is_finished else "closed" if self.is_closed else "open"
        return f"<Upload {state}>"


class _End:
    """A SocketMessage: the end of the body. It is noted before a byte of it can leave, as the
    response may come before the system call returns; and not before its turn to be written."""

    __slots__ = ("_data", "_upload")

    def __init__(self, upload: Upload, data: IOBuf) -> None:
        self._upload = upload
        self._data = data

    def append_to(self, buffer: IOBuf) -> None:
        self._upload.is_finished = True
        buffer.append(self._data)
