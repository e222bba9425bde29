"""OrderedReplies: the responses of a connection whose protocol sends them in the order of requests.

Handlers end in any order. Each response is put at the position of its request, and then the socket
is asked to write. What is written is decided when the turn to write has come, by the holder of the
write right, of whom there is one at a time: all responses that no earlier one is missing for. So
there is no lock, and none waits for another thread. A response that has become complete is written:
it was put before its own turn to write was queued, and that turn takes all that it finds.

A response that waits for an earlier one counts in `unanswered`, as the requests do: a connection
that holds too many of them is not read meanwhile.
"""

from __future__ import annotations

from pybrpc.base.guard import SERVER
from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.outcomes import InternalOutcome
from pybrpc.transport.writing.write_request import new_message_request

REPLY_BYTES = 512
"""Memory that a response holds beside its bytes."""


class OrderedReplies:
    """A SocketMessage: the responses whose turn it is. `put` and `write` in any thread."""

    __slots__ = ("_kept", "_outcome", "_positions", "_socket", "_unanswered", "_written")

    def __init__(self, socket: Socket, unanswered: Backlog) -> None:
        self._socket = socket
        self._unanswered = unanswered
        self._outcome: InternalOutcome | None = None
        """That of all writes. Made with the first one; it refers to this object."""
        self._kept: dict[int, IOBuf] = {}
        """Responses that are not written, by their positions."""
        self._positions = 0
        """Number of positions that were given out. In turns."""
        self._written = 0
        """Number of positions that were written. With the write right."""

    def next_position(self) -> int:
        """The position of the request that was read last."""
        position = self._positions
        self._positions = position + 1
        return position

    def put(self, position: int, data: IOBuf) -> None:
        """Keep a response. The first one counts for each position. `write` must follow."""
        size_bytes = len(data) + REPLY_BYTES
        self._unanswered.try_add(size_bytes, True)
        if position < self._written or self._kept.setdefault(position, data) is not data:
            # A thread that was interrupted has put one before.
            self._unanswered.remove(size_bytes, 1)

    def write(self) -> None:
        """Queue the responses whose turn it is. They are lost if the connection is gone."""
        socket = self._socket
        try:
            outcome = self._outcome
            if outcome is None:
                outcome = self._outcome = InternalOutcome(self._on_outcome)
            socket.write_request(new_message_request(self, outcome), True)
        except RpcError:
            self._drop()
        except BaseException as error:
            SERVER.caught("%r can't write a response", socket, error=error)
            text = f"Fail to write a response: {type(error).__name__}"
            socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text))
            self._drop()

    def append_to(self, buffer: IOBuf) -> None:
        """With the write right: take all responses that no earlier one is missing for."""
        size_bytes = count = 0
        while (data := self._kept.pop(self._written, None)) is not None:
            self._written += 1
            size_bytes += len(data) + REPLY_BYTES
            count += 1
            buffer.append(data)
        if count:
            self._unanswered.remove(size_bytes, count)

    def drops(self, position: int) -> bool:
        """Whether the response at `position` is never written, as an earlier one ends the
        connection. Any thread."""
        return False

    def fail_missing(self) -> None:
        """A request ends without a response, so those behind it can't be written: close."""
        text = "A request has ended without a response, and the next ones must not overtake it"
        self._socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text))
        self._drop()

    @property
    def held_bytes(self) -> int:
        """Memory of the responses that wait for earlier ones."""
        return sum(len(data) + REPLY_BYTES for data in list(self._kept.values()))

    def _on_outcome(self, error: RpcError | None) -> None:
        """Some responses were not written: the next ones must not take their place."""
        if error is not None:
            self._socket.fail(error)
            self._drop()

    def _drop(self) -> None:
        """The socket has failed, so none of them will be written. A thread that puts another one
        fails to write it, and drops it."""
        self._outcome = None
        for position in list(self._kept):
            data = self._kept.pop(position, None)
            if data is not None:
                self._unanswered.remove(len(data) + REPLY_BYTES, 1)

    def __repr__(self) -> str:
        return f"<OrderedReplies {self._written} written, {len(self._kept)} waiting>"
