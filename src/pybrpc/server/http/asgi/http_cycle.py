"""HttpCycle: an application of ASGI answers one request of HTTP.

The application begins when the head has come. Its `receive` takes the body as it comes, and its
`send` waits while the client does not take the response.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pybrpc.base.guard import SERVER
from pybrpc.server.http.asgi.cycle import GONE, Cycle
from pybrpc.server.http.asgi.scope import Message, bytes_of, headers_of
from pybrpc.server.http.body_queue import BodyQueue
from pybrpc.server.http.loop_room import wait_for_room, wait_until_woken


class HttpCycle(Cycle):
    """A Cycle of the type "http"."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.queue = BodyQueue(self._exchange, self._request)
        self._has_told_end = False
        self._is_complete = False
        """Whether the application has sent the whole response."""
        self._start: Message | None = None

    async def receive(self) -> Message:
        queue = self.queue
        while True:
            if self._is_complete:
                return {"type": "http.disconnect"}
            part = queue.take()
            if part is not None or (queue.is_over and not self._has_told_end):
                self._has_told_end = queue.is_over
                return {
                    "type": "http.request",
                    "body": part or b"",
                    "more_body": not self._has_told_end,
                }
            if queue.error is not None or self._stream.is_gone:
                return {"type": "http.disconnect"}
            await self._wait_for_news()

    async def _wait_for_news(self) -> None:
        if not self._has_told_end:
            self.queue.ask()
        await wait_until_woken(self._when_news)

    def _when_news(self, wake: Callable[[], object]) -> None:
        """Call `wake` once `receive` has something to return. It may come too early."""
        self._wakes.append(wake)
        if not self._has_told_end:
            self.queue.when_news(self._wake_all)
        if self._is_complete or self._stream.is_gone:
            self._wake_all()

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self._is_lost():
            raise ConnectionResetError(GONE)
        if kind == "http.response.start" and not self._stream.has_begun:
            self._begin(message)
        elif kind == "http.response.body" and self._stream.has_begun and not self._is_complete:
            self._write(message)
        else:
            raise RuntimeError(f"the application sent {kind!r} where it can't be sent")
        if not self._stream.has_room():
            await wait_for_room(self._stream)
            if self._is_lost():
                raise ConnectionResetError(GONE)

    def _is_lost(self) -> bool:
        """Whether the response can't be sent. A client that has only ended its side may read."""
        return not self._is_complete and self._exchange.connection.is_gone()

    def _begin(self, message: Message) -> None:
        if message.get("trailers"):
            raise RuntimeError("trailers are not supported: the scope does not name them")
        headers = headers_of(message)
        length = headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise ValueError(f"the Content-Length {length!r} is no number of bytes")
        size = None if length is None else int(length)
        status = message["status"]
        if isinstance(status, int) and 100 <= status < 200:
            raise ValueError(f"{status} is the status of no whole response")
        self._observed.answered()
        self._stream.begin(status, headers, size, is_flushed=False)
        assert self._loop is not None
        # The first part of the body most likely follows at once: one write for both.
        self._loop.call_soon(self._stream.flush)

    def _write(self, message: Message) -> None:
        body = message.get("body", b"")
        if body:
            self._stream.write(bytes_of(body))
        if not message.get("more_body", False):
            self._stream.end()
            self._is_complete = True
            # Now, not when the application returns: it may have more to do.
            self._note_end()
            self.queue.drop()
            self._wake_all()
            if not self.queue.is_complete:
                self._end_input()

    def _finish(self) -> None:
        if self._is_complete or self._stream.is_gone:
            return
        what = (
            "has sent no response" if not self._stream.has_begun else "has not ended its response"
        )
        SERVER.error("the application at %s %s", self._where, what)
        self._cut_off()

    def _is_answered(self) -> bool:
        return self._is_complete

    def _received_bytes(self) -> int:
        return self.queue.received_bytes

    def _release(self) -> None:
        self.queue.drop()
        if not self._stream.is_over:
            # Only the client's end can have kept it from being ended.
            self._stream.close()
        if not self.queue.is_complete:
            self._end_input()
