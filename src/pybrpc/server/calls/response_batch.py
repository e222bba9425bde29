"""ResponseBatch: responses that one worker has ready, written together.

A system call that writes a small response costs as much as a fast handler. So responses wait, at
most FLUSH_S, for those of the requests that the worker runs next. When the next handler turns out
to be slow, the dispatcher flushes the batch instead of the worker: each response is popped by
exactly one of the two.
"""

from __future__ import annotations

from collections import deque

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.server.calls.interfaces import AdmittedCall, CallConnection

FLUSH_S = 0.0002
LARGE_BYTES = 16 * 1024
"""A response of this size or more is written at once: it gains nothing by waiting, and only written
bytes count in the backlog of its connection."""

MAX_RESPONSES = 128
"""A batch of this many responses is written at once too, for the same reason; a longer batch would
gain little more."""

Answer = tuple[AdmittedCall, IOBuf]


class ResponseBatch:
    """Filled by one thread, flushed by any."""

    __slots__ = ("_answers", "_flush_at")

    def __init__(self) -> None:
        self._answers: deque[Answer] = deque()
        self._flush_at = 0.0

    def add(self, call: AdmittedCall, data: IOBuf, now: float) -> None:
        """Add the response of `call`; write all if the oldest has waited long enough."""
        if not self._answers:
            self._flush_at = now + FLUSH_S
        self._answers.append((call, data))
        if now >= self._flush_at or self._has_enough(data):
            self.flush()

    def put(self, call: AdmittedCall, data: IOBuf) -> None:
        """Add the response of `call`. The caller flushes soon."""
        self._answers.append((call, data))
        if self._has_enough(data):
            self.flush()

    def flush(self) -> None:
        """Write all responses. Any thread; never blocks."""
        while (first := self._pop()) is not None:
            call, data = first
            connection = call.connection
            calls = [call]
            while (item := self._pop_of(connection)) is not None:
                calls.append(item[0])
                data.append(item[1])
            connection.end(calls, data)

    def flush_if_due(self, now: float) -> None:
        """`flush`, if the oldest response has waited long enough."""
        if self._answers and now >= self._flush_at:
            self.flush()

    def _has_enough(self, newest: IOBuf) -> bool:
        return len(newest) >= LARGE_BYTES or len(self._answers) >= MAX_RESPONSES

    def _pop(self) -> Answer | None:
        if not self._answers:
            return None
        try:
            return self._answers.popleft()
        except IndexError:  # Another thread has just taken it.
            return None

    def _pop_of(self, connection: CallConnection) -> Answer | None:
        """The next response, if it goes to `connection`."""
        item = self._pop()
        if item is not None and item[0].connection is not connection:
            self._answers.appendleft(item)
            return None
        return item

    def __bool__(self) -> bool:
        return bool(self._answers)
