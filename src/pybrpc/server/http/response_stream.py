"""ResponseStream: a response of HTTP whose body is sent in parts, while it is made.

Bytes that the client has not taken yet are bounded: who writes asks `has_room` first, and waits
with `when_room`. They are counted from `write` until the kernel has taken them, whether earlier
responses have to be written first or the client reads slowly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from pybrpc.base.flags import OnceFlag
from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.protocols.http1.writer import Body
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.request import HttpRequest

WINDOW_BYTES = 256 * 1024
"""Bytes of one response that may wait to be written."""

PART_BYTES = 512
"""Memory of a part beside its bytes."""


class ResponseStream:
    """Holds its connection until it is over. One thread at a time writes; no method blocks.

    `on_gone` is called once if the client goes away before `end`: in a turn, where it must not run
    code of users.
    """

    def __init__(
        self, exchange: HttpExchange, request: HttpRequest, on_gone: Callable[[RpcError], object]
    ) -> None:
        """In a turn, or while a call of the connection runs. Raises the RpcError of a connection
        that has failed."""
        self.request = request
        self._exchange = exchange
        self._position = request.position
        self._replies = exchange.replies
        self._writer = request.new_writer()
        self._on_gone = on_gone
        self._gone = OnceFlag()
        self._is_released = OnceFlag()
        self._sent = self._marked = self._taken = 0
        """Bytes that were written here; when it was last asked for news; of which there are."""
        self.bytes_sent = 0
        """Bytes of head and body that were written here."""
        self._is_asking = False
        self._wakes: deque[Callable[[], object]] = deque()
        self.on_stop: Callable[[], object] | None = None
        """Called in a turn when the server stops: for what would go on for ever."""
        self.has_begun = False
        self.is_over = False
        exchange.connection.hold(self)
        exchange.streams[self] = None
        error = exchange.end_error
        if error is not None:
            self.on_client_gone(error)

    # --- what is written ---

    def begin(
        self,
        status: int,
        headers: HttpHeaders,
        content_length: int | None = None,
        reason: str | None = None,
        is_flushed: bool = True,
    ) -> None:
        """Send the head: now, or with what is written next, or by `flush`. ValueError for a status
        or a header that can't be sent: then nothing is sent."""
        request = self.request
        if request.resolved.cors is not None:
            headers.update(request.resolved.cors)
        head = self._writer.begin(status, headers, content_length, reason)
        self.has_begun = True
        request.status = status
        self._replies.begin(self._position)
        if not self._writer.keep_alive:
            self._exchange.end_behind(request)
        self._append(head, is_flushed)

    def begin_raw(self, head: IOBuf) -> None:
        """Send a head behind which another protocol follows, until the connection ends."""
        self.has_begun = True
        self.request.status = 101
        self._replies.begin(self._position)
        self._replies.end_behind(self._position)
        self._append(head)

    def write(self, data: Body) -> None:
        """Send a part of the body. ValueError if it is longer than the Content-Length."""
        part = self._writer.part(data)
        if part:
            self._append(part)

    def write_raw(self, data: IOBuf) -> None:
        """Send bytes behind `begin_raw`."""
        if data:
            self._append(data)

    def flush(self) -> None:
        """Send what was not sent yet."""
        self._replies.write()

    def _append(self, data: IOBuf, is_flushed: bool = True) -> None:
        self.bytes_sent += len(data)
        self._sent += len(data) + PART_BYTES
        self._replies.append(self._position, data)
        if self._sent - self._taken >= WINDOW_BYTES and not self._is_asking:
            self._ask()
        elif is_flushed:
            self._replies.write()

    def end(self) -> None:
        """The body is complete. ValueError if bytes of a Content-Length are missing."""
        data = self._writer.end()
        if data:
            self._replies.append(self._position, data)
        self._finish(self._writer.keep_alive)

    def close(self) -> None:
        """End the connection behind what was written. So the client sees that the body is cut off,
        or the end of the protocol of `begin_raw`. Nothing happens if the response is over."""
        if self.is_over:
            return
        self._replies.begin(self._position)
        self._replies.end_behind(self._position)
        self._finish(False)

    def abandon(self) -> None:
        """Another answer was put at the position, before `begin`."""
        if not self.is_over:
            self.is_over = True
            self._release()

    def _finish(self, keeps_connection: bool) -> None:
        self.is_over = True
        replies = self._replies
        replies.finish(self._position)
        replies.write()
        if not keeps_connection:
            # When its turn has come, nothing is written behind it.
            replies.when_turn(self._position, self._exchange.close_soon)
        self._release()

    def _release(self) -> None:
        self._exchange.streams.pop(self, None)
        self._on_gone = _ignore  # else it and this refer to each other
        if self._is_released.try_set():
            self._exchange.connection.release_hold(self)

    # --- room ---

    def has_room(self) -> bool:
        """Whether more may be written. Also if it would be dropped: the connection has failed."""
        return self._sent - self._taken < WINDOW_BYTES or self._exchange.connection.is_gone()

    def when_room(self, wake: Callable[[], object]) -> None:
        """Call `wake` once `has_room` is true: now, or in any thread, where it must not run code of
        users. It may come too early, or twice."""
        self._wakes.append(wake)
        if self.has_room():
            self._wake_up()
        elif not self._is_asking:
            self._ask()

    def _ask(self) -> None:
        """Ask for news when what is there now is written, which begins when its turn comes."""
        self._is_asking = True
        if self._replies.is_turn(self._position):
            self._ask_now()
        else:
            self._replies.write()
            self._replies.when_turn(self._position, self._ask_now)

    def _ask_now(self) -> None:
        self._marked = self._sent
        self._replies.write_and_tell(self._on_written)

    def _on_written(self, error: RpcError | None) -> None:
        self._taken = self._marked
        self._is_asking = False
        self._wake_up()

    def _wake_up(self) -> None:
        while self._wakes:
            try:
                wake = self._wakes.popleft()
            except IndexError:  # another thread has taken it
                return
            wake()

    # --- the client ---

    @property
    def is_gone(self) -> bool:
        """Whether the client has ended its side, most likely because it is gone, or the connection
        has failed."""
        return self._gone.is_set() or self._exchange.connection.is_gone()

    def on_client_gone(self, error: RpcError) -> None:
        """The client sends nothing more, so it is not there to read either. In a turn."""
        if not self.is_over and self._gone.try_set():
            try:
                self._on_gone(error)
            finally:
                self._wake_up()

    def on_server_stop(self) -> None:
        if self.on_stop is not None and not self.is_over:
            self.on_stop()

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        self._is_released.try_set()
        self._exchange.streams.pop(self, None)
        self.on_client_gone(error)
        self._wake_up()  # the client may have been gone before

    def __repr__(self) -> str:
        state = "over" if self.is_over else "gone" if self.is_gone else "open"
        waiting = self._sent - self._taken
        return f"<ResponseStream {state}, {waiting} bytes not taken yet>"


def _ignore(error: RpcError) -> None:
    """The response is over."""
