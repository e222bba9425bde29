"""ResponseBatch: answers that one worker has ready, written together.

A system call that writes a small answer costs as much as a fast handler. So answers wait, at most
FLUSH_S, for those of the requests that the worker runs next. When the next handler turns out to be
slow, the dispatcher flushes the response_batch in the worker's place: each answer is popped by exactly one
of the two.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf

if TYPE_CHECKING:
    from pybrpc.server.calls.server_call import ServerCall
    from pybrpc.server.connections.server_connection import ServerConnection
    from pybrpc.transport.socket.socket import Socket

FLUSH_S = 0.0002
LARGE_BYTES = 16 * 1024
"""An answer from this size on is written at once: it gains nothing by waiting, and only what is
written counts in the backlog of its connection."""

MOST_ANSWERS = 128
"""So many are written at once too, for the same reason; a longer gather would gain little more."""

Answer = tuple["ServerCall", IOBuf]


class ResponseBatch:
    """Filled by one thread, flushed by any."""

    __slots__ = ("_answers", "_flush_at")

    def __init__(self) -> None:
        self._answers: deque[Answer] = deque()
        self._flush_at = 0.0

    def add(self, call: ServerCall, data: IOBuf, now: float) -> None:
        """Take the answer of `call`; write all answers if the oldest has waited long enough."""
        if not self._answers:
            self._flush_at = now + FLUSH_S
        self._answers.append((call, data))
        if now >= self._flush_at or self._has_enough(data):
            self.flush()

    def put(self, call: ServerCall, data: IOBuf) -> None:
        """Take the answer of `call`; somebody will flush."""
        self._answers.append((call, data))
        if self._has_enough(data):
            self.flush()

    def flush(self) -> None:
        """Write what is there. Any thread; never blocks."""
        while (first := self._pop()) is not None:
            call, data = first
            connection = call.connection
            calls = [call]
            while (item := self._pop_of(connection)) is not None:
                calls.append(item[0])
                data.append(item[1])
            connection.leave(calls)
            write_answer(connection.socket, data)
            connection.end(calls)

    def flush_if_due(self, now: float) -> None:
        """`flush`, if the oldest answer has waited long enough."""
        if self._answers and now >= self._flush_at:
            self.flush()

    def _has_enough(self, newest: IOBuf) -> bool:
        return len(newest) >= LARGE_BYTES or len(self._answers) >= MOST_ANSWERS

    def _pop(self) -> Answer | None:
        if not self._answers:
            return None
        try:
            return self._answers.popleft()
        except IndexError:  # somebody else has just taken it
            return None

    def _pop_of(self, connection: ServerConnection) -> Answer | None:
        """The next answer, if it goes to `connection`."""
        item = self._pop()
        if item is not None and item[0].connection is not connection:
            self._answers.appendleft(item)
            return None
        return item

    def __bool__(self) -> bool:
        return bool(self._answers)


def write_answer(socket: Socket, data: IOBuf) -> None:
    """Queue the bytes of one or more answers; if the connection is gone, so is who asked."""
    try:
        socket.start_write(data, ignore_eovercrowded=True)
    except RpcError:
        return
