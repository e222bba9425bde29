"""BodyQueue: the parts of a body that have come and were not taken yet.

What waits here counts in `connection.unanswered`. So the connection is not read while too much
waits, and the client has to wait too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from pybrpc.errors import BadRequestError, RpcCanceledError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.request import HttpRequest

WINDOW_BYTES = 1024 * 1024
"""Bytes that one connection may hold unread."""

PART_BYTES = 512
"""Memory of a part beside its bytes."""


class BodyQueue:
    """A BodySink. Its own methods are for any thread, one at a time; none blocks.

    is_complete  whether the end has come
    received_bytes   bytes that have come, taken or not
    error        why no more comes though not all of the body was taken: an RpcError or
                 HttpParseError
    """

    def __init__(self, exchange: HttpExchange, request: HttpRequest) -> None:
        """In a turn."""
        self._exchange = exchange
        self._request = request
        self._unanswered = exchange.connection.unanswered
        self._unanswered.lower_marks(WINDOW_BYTES)
        self._parts: deque[IOBuf] = deque()
        self._wakes: deque[Callable[[], object]] = deque()
        self._is_dropped = False
        self._is_cut = False
        """Whether parts were thrown away that nobody has taken."""
        self._waits_for_word = request.head.expects_continue
        self.is_complete = False
        self.received_bytes = 0
        self.error: BaseException | None = None
        self.trailers: HttpHeaders | None = None
        exchange.queues[self] = None

    # --- a BodySink, in turns ---

    def on_part(self, data: IOBuf) -> None:
        self.received_bytes += len(data)
        if self._is_dropped or not data:
            return
        self._unanswered.try_add(len(data) + PART_BYTES, True)
        self._parts.append(data)
        # Store, then load: either this sees that it was dropped, or `drop` sees the part.
        if self._is_dropped:
            self._clear()
        self.wake_all()

    def on_end(self, trailers: HttpHeaders | None) -> None:
        self.trailers = trailers
        self.is_complete = True
        self.wake_all()

    def on_failed(self, error: BaseException) -> None:
        if not self.is_over and self.error is None:
            self.error = error
        self.wake_all()

    # --- the reader ---

    def take(self) -> bytes | None:
        """Take the first part. `None`: there is none now."""
        data = self._pop()
        return None if data is None else bytes(data)

    def has_news(self) -> bool:
        """Whether there is a part, or will be none."""
        return bool(self._parts) or self.is_complete or self.error is not None or self._is_dropped

    @property
    def is_over(self) -> bool:
        """Whether the body is complete, and all of it was taken."""
        return self.is_complete and not self._parts and not self._is_cut

    def failure(self) -> RpcError | None:
        """Why no more comes: an RpcError that callers know."""
        if self.error is None and self._is_dropped:
            return RpcCanceledError("the call is over")
        if self.error is None or isinstance(self.error, RpcError):
            return self.error
        return BadRequestError(f"the body is no HTTP: {self.error}")

    def when_news(self, wake: Callable[[], object]) -> None:
        """Call `wake` once `has_news` is true: now, or in a turn, where it must not run code of
        users. It may come too early. A client that waits for a word before it sends gets it."""
        self.ask()
        self._wakes.append(wake)
        if self.has_news():
            self.wake_all()

    def ask(self) -> None:
        """The body is wanted now: say so to a client that waits for it."""
        if self._waits_for_word and not self.has_news():
            self._waits_for_word = False
            self._exchange.continue_body(self._request)

    def wake_all(self) -> None:
        """Wake the one that waits."""
        while self._wakes:
            try:
                wake = self._wakes.popleft()
            except IndexError:  # another thread has taken it
                return
            wake()

    def drop(self) -> None:
        """Nobody reads any more: what has come and what comes is thrown away."""
        self._is_dropped = True
        self._exchange.queues.pop(self, None)
        self._clear()
        self.wake_all()

    def _clear(self) -> None:
        while self._parts:
            # First: a reader that finds nothing sees that this is not the end.
            self._is_cut = True
            self._pop()

    def _pop(self) -> Any:
        try:
            data = self._parts.popleft()
        except IndexError:
            return None
        self._unanswered.remove(len(data) + PART_BYTES, 1)
        return data

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "open" if self.error is None else "failed"
        return f"<BodyQueue {state}, {len(self._parts)} parts>"
