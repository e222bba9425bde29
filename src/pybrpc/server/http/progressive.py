"""ProgressiveBody: a response whose body a handler writes, also after it has returned.

The call goes on until the body is closed. After bRPC's `Controller::CreateProgressiveAttachment`
(src/brpc/progressive_attachment.cpp).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import ErrorCode, OvercrowdedError, RpcCanceledError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.server_sent_event import EVENT_STREAM
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.http.body_items import BYTES
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.request import HttpRequest
from pybrpc.server.http.response_stream import ResponseStream

MAX_EARLY_BYTES = 1024 * 1024
"""Bytes that a handler may write before it has returned."""


def _current() -> int:
    """The number of the running task, or else of the thread."""
    task = None if asyncio._get_running_loop() is None else asyncio.current_task()
    return threading.get_ident() if task is None else id(task)


class ProgressiveBody:
    """A PartSink. Any thread; no method blocks, but for a lock that is held for a moment."""

    def __init__(self, exchange: HttpExchange, request: HttpRequest) -> None:
        self._exchange = exchange
        self._request = request
        self._lock = threading.Lock()
        self._handler = _current()
        self._wakes: deque[Callable[[], object]] = deque()
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._is_ended = False
        self._stream: ResponseStream | None = None
        self._call: ServerCall | None = None
        self._error: RpcError | None = None
        self._has_left = OnceFlag()
        self._on_over: Callable[[], object] | None = None
        # Until it begins: a writer that waits for room must hear that nobody will make any.
        exchange.streams[self] = None
        if exchange.end_error is not None:
            self.on_client_gone(exchange.end_error)

    # --- a ClientWatcher, until it begins ---

    def on_client_gone(self, error: RpcError) -> None:
        """Nothing of the body will be sent. Any thread."""
        if self._stream is None:
            self.fail(RpcCanceledError(f"the client has gone: {error.text}"))

    def on_server_stop(self) -> None:
        """The handler has until the end of the grace, when the connection is closed."""

    # --- a PartSink ---

    def put(self, data: bytes) -> None:
        with self._lock:
            if self._error is not None:
                raise self._error.copy()
            stream = self._stream
            if stream is not None:
                if not stream.is_over:
                    stream.write(data)
                return
            is_handlers = _current() == self._handler
            if is_handlers and self._early_bytes + len(data) > MAX_EARLY_BYTES:
                raise OvercrowdedError(
                    f"more than {MAX_EARLY_BYTES} bytes were written before the handler returned"
                )
            self._early.append(data)
            self._early_bytes += len(data)

    def has_room(self) -> bool:
        stream = self._stream
        if stream is not None or self._error is not None:
            return stream is None or self._error is not None or stream.has_room()
        # The handler itself can't wait for its own end: `put` raises.
        return self._early_bytes < MAX_EARLY_BYTES or _current() == self._handler

    def when_room(self, wake: Callable[[], object]) -> None:
        self._wakes.append(wake)
        stream = self._stream
        if stream is not None:
            stream.when_room(self._wake_all)
        elif self.has_room():
            self._wake_all()

    def _wake_all(self) -> None:
        while self._wakes:
            try:
                wake = self._wakes.popleft()
            except IndexError:  # another thread has taken it
                return
            wake()

    def end(self) -> None:
        with self._lock:
            self._is_ended = True
            stream = self._stream
            if stream is None or stream.is_over:
                return
            if stream.is_gone:
                stream.close()
            else:
                stream.end()
        self._leave(0)

    # --- the call ---

    def fail(self, error: RpcError) -> None:
        """The call has failed: nothing of the body is sent."""
        with self._lock:
            if self._error is None:
                self._error = error
            self._early.clear()
        self._exchange.streams.pop(self, None)
        self._wake_all()

    def begin(
        self, call: ServerCall, controller: Controller, on_over: Callable[[], object]
    ) -> None:
        """The handler has returned: send the head and what was written. Never raises.

        `on_over` is called when the body is over.
        """
        self._call, self._on_over = call, on_over
        self._exchange.streams.pop(self, None)
        try:
            call.serve()
            stream = ResponseStream(self._exchange, self._request, self._on_client_gone)
        except BaseException as error:
            self.fail(RpcCanceledError("the connection has failed"))
            if not isinstance(error, RpcError):
                SERVER.caught("%r can't send a response", call, error=error)
            on_over()
            call.end()
            return
        try:
            with self._lock:
                self._send_head(stream, controller)
                self._stream = stream
                is_ended = self._is_ended
        except BaseException as error:
            call.fail(controller, error)
            self.fail(RpcCanceledError("the head of the response can't be sent"))
            data = call.pack(controller, None)
            stream.abandon()
            self._leave(None, data)
            deliver_interrupt(error)
            return
        self._wake_all()
        if stream.is_gone:
            self._on_client_gone(RpcCanceledError("the client is gone"))
        elif is_ended:
            self.end()

    def _send_head(self, stream: ResponseStream, controller: Controller) -> None:
        made = controller.http_response
        assert made is not None
        headers = made.headers.copy()
        headers.set_default("Content-Type", BYTES)
        if headers.content_type.partition(";")[0].strip().lower() == EVENT_STREAM:
            headers.set_default("Cache-Control", "no-store")
            headers.set_default("X-Accel-Buffering", "no")
        stream.begin(made.status_code, headers, None, made.reason)
        for data in self._early:
            stream.write(data)
        self._early.clear()

    def _on_client_gone(self, error: RpcError) -> None:
        """In a turn, or before the first write."""
        stream = self._stream
        if stream is None:
            return  # `begin` sees it
        with self._lock:
            if stream.is_over:
                return
            if self._error is None:
                self._error = error
            stream.close()
        self._leave(int(ErrorCode.EFAILEDSOCKET))

    def _leave(self, error_code: int | None, data: IOBuf | None = None) -> None:
        call = self._call
        if call is None or not self._has_left.try_set():
            return
        if self._on_over is not None:
            self._on_over()
        if error_code is not None:
            call.error_code = error_code
            call.sent_bytes = 0 if self._stream is None else self._stream.bytes_sent
        call.end_serving()
        call.connection.end([call], IOBuf() if data is None else data)

    def __repr__(self) -> str:
        if self._stream is not None:
            return repr(self._stream)
        return f"<ProgressiveBody, {self._early_bytes} bytes before the handler has returned>"
