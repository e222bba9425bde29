"""Cycle: one run of an application, for one request."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.server.calls.call_span import enter_span
from pybrpc.server.calls.server_call import NO_ANSWER
from pybrpc.server.http.asgi.observed import MountCounts, ObservedRequest
from pybrpc.server.http.asgi.scope import AsgiApplication, Message
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.request import HttpRequest
from pybrpc.server.http.response_stream import ResponseStream

GONE = "the client is gone"

CYCLE_BYTES = 8 * 1024
"""Memory of a request, its scope and its task, in bytes: a connection has no more than fit into the
bytes that it may hold."""


class Cycle:
    """The base class of those of http and websocket. In the loop, but where it says "in a turn"."""

    def __init__(
        self,
        application: AsgiApplication,
        exchange: HttpExchange,
        request: HttpRequest,
        scope: dict[str, Any],
        running: set[Cycle],
        counts: MountCounts,
    ) -> None:
        """In a turn. It is in `running` until the application has returned."""
        self._application = application
        self._exchange = exchange
        self._request = request
        self._scope = scope
        self._where = counts.full_name
        self._running = running
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakes: deque[Callable[[], object]] = deque()
        self._is_cancelled = False
        self._has_ended = OnceFlag()
        self._stream = ResponseStream(exchange, request, self._on_client_gone)
        # The headers of the scope are a copy.
        self._size_bytes = CYCLE_BYTES + 2 * request.resolved.size_bytes
        exchange.connection.unanswered.try_add(self._size_bytes, True)
        self._observed = ObservedRequest(counts, exchange.connection, request)
        self._error_code: int | None = None
        """Why the response is not whole."""
        self._error_bytes = 0
        """Bytes of the response that was sent instead of the application's."""

    # --- in a turn ---

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the application in `loop`. Never raises."""
        self._loop = loop
        self._running.add(self)
        try:
            loop.call_soon_threadsafe(self._start_task)
        except BaseException as error:
            self._fail(error)
            self._end()
            deliver_interrupt(error)

    def _on_client_gone(self, error: RpcError) -> None:
        self._wake_all()
        server = self._exchange.connection.server
        if self._exchange.connection.is_gone() and server.admission.is_stopping:
            self.cancel()

    # --- any thread ---

    def cancel(self) -> None:
        """The grace of a stop is over, or the server ends."""
        self._is_cancelled = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._cancel_task)

    def _wake_all(self) -> None:
        while self._wakes:
            try:
                wake = self._wakes.popleft()
            except IndexError:  # another thread has taken it
                return
            wake()

    # --- in the loop ---

    def _start_task(self) -> None:
        try:
            context = self._exchange.connection.server.new_context()
            if self._observed.span is not None:
                context.run(enter_span, self._observed.span)
            self._task = asyncio.Task(self._run(), loop=self._loop, context=context)
        except BaseException as error:
            self._fail(error)
            self._end()
            raise
        if self._is_cancelled:
            self._task.cancel()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task in which the application runs."""
        return self._task

    async def _run(self) -> None:
        try:
            if self._is_dropped():
                self._stream.abandon()
                return
            await self._application(self._scope, self.receive, self.send)
            self._finish()
        except BaseException as error:
            self._fail(error)
            if isinstance(error, GeneratorExit):
                raise
            deliver_interrupt(error)
        finally:
            self._end()

    async def receive(self) -> Message:
        """The function that the application gets."""
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        """The function that the application gets."""
        raise NotImplementedError

    def _finish(self) -> None:
        """The application has returned."""
        raise NotImplementedError

    def _fail(self, error: BaseException) -> None:
        """The application has raised `error`. Never raises."""
        if not (self._stream.is_gone and isinstance(error, OSError | asyncio.CancelledError)):
            SERVER.raised("the application at %s raised", self._where, error=error)
        self._cut_off()

    def _cut_off(self) -> None:
        """Answer 500, or end the connection if the response has begun. Never raises."""
        try:
            if self._stream.is_over:
                return
            self._exchange.connection.server.errors.increment_and_get(1)
            self._error_code = int(ErrorCode.EINTERNAL)
            if self._stream.has_begun:
                self._stream.close()
                return
            request = self._request
            response = request.error(ErrorCode.EINTERNAL, "Internal Server Error", 500)
            self._error_bytes = len(response)
            self._exchange.answer_now(request.position, response)
            self._stream.abandon()
        except BaseException as raised:
            SERVER.caught("%r can't be ended", self, error=raised)

    def _end(self) -> None:
        if self._has_ended.try_set():
            self._running.discard(self)
            self._exchange.connection.unanswered.remove(self._size_bytes, 1)
            try:
                self._release()
            finally:
                self._note_end()

    def _note_end(self) -> None:
        """The response is complete, or nothing of it follows. Counts once; never raises."""
        code = self._error_code
        sent_bytes = self._stream.bytes_sent + self._error_bytes
        if self._is_dropped():
            code, self._request.status, sent_bytes = NO_ANSWER, 0, 0
        elif code is None and not self._is_answered():
            code = int(ErrorCode.EFAILEDSOCKET) if self._request.status else NO_ANSWER
        self._observed.ended(code, self._received_bytes(), sent_bytes)

    def _is_dropped(self) -> bool:
        """Whether an earlier response ends the connection, so that nobody gets this one."""
        return self._exchange.replies.drops(self._request.position)

    def _is_answered(self) -> bool:
        """Whether the application has sent all of its response."""
        raise NotImplementedError

    def _received_bytes(self) -> int:
        """Bytes of the body, or of the websocket."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of what it holds. Never raises."""

    def _end_input(self) -> None:
        """Nobody reads the rest of the request."""
        self._exchange.end_input_soon(self._request)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._request!r}>"
