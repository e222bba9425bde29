"""GeneratorBody: a handler of a method is a generator, and what it yields is the body.

The call is not over when the handler has returned its generator, but when that has ended. An async
one runs in a task of the loop of async handlers, a plain one in a thread of its own. Neither makes
more than the client takes: both wait while too much of the response is not written.

The head is sent with the first item. So an error before that becomes a proper response; a later
one cuts the body off, and ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context
from typing import Any

from google.protobuf.message import Message

from pybrpc.base.flags import OnceFlag, WakeSignal
from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import ErrorCode, InternalServerError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.serving import forget_handler_thread, handler_thread, set_current_call
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.http.body_items import BodyItems
from pybrpc.server.http.body_threads import BodyThreads
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.loop_room import wait_for_room
from pybrpc.server.http.request import HttpRequest
from pybrpc.server.http.response_stream import ResponseStream
from pybrpc.streams.table import making_lock
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

_NOTHING = object()

MAX_AT_ONCE = 64
"""Items that an async generator yields before other tasks of its loop run."""


def is_generator(response: object) -> bool:
    """Whether what a handler returned is a generator, or another iterator."""
    if response is None or isinstance(response, Message):
        return False
    return isinstance(response, Iterator | AsyncIterator)


def start_body(
    call: ServerCall,
    controller: Controller,
    generator: Any,
    items: BodyItems,
    exchange: HttpExchange,
    request: HttpRequest,
    context: Context,
    on_over: Callable[[], object],
) -> None:
    """Begin to send what `generator` yields. `on_over` is called when that is over. Any thread;
    never raises."""
    is_async = isinstance(generator, AsyncIterator)
    try:
        kind = TaskBody if is_async else ThreadBody
        body = kind(call, controller, generator, items, exchange, request)
    except BaseException as error:
        if not isinstance(error, RpcError):
            SERVER.caught("%r can't send a response", call, error=error)
        on_over()
        call.end()
        return
    body.on_over = on_over
    if isinstance(body, ThreadBody):
        body.start(exchange.threads, context)
    else:
        body.start(exchange.connection.server.loop_of_handlers, context)


class GeneratorBody:
    """The base class of both kinds. `on_client_gone` in turns, all else in the thread that runs
    the generator."""

    def __init__(
        self,
        call: ServerCall,
        controller: Controller,
        generator: Any,
        items: BodyItems,
        exchange: HttpExchange,
        request: HttpRequest,
    ) -> None:
        """While the call runs. Raises the RpcError of a connection that has failed."""
        self.call = call
        self._controller = controller
        self._generator = generator
        self._items = items
        self._exchange = exchange
        self._is_head = request.head.method == "HEAD"
        self._has_ended = OnceFlag()
        self.on_over: Callable[[], object] | None = None
        # Anew: that of the handler, which has returned, is over.
        call.serve()
        self._stream = ResponseStream(exchange, request, self._on_client_gone)

    def _begin(self, item: object = _NOTHING) -> bytes:
        """Send the head of a body whose first item is `item`; return the bytes of that."""
        made = self._controller.http_response
        assert made is not None
        headers = self._items.headers_for(item)
        data = b"" if item is _NOTHING else self._items.to_bytes(item)
        self._stream.begin(made.status_code, headers, None, made.reason)
        return data

    def _begins_at_once(self) -> bool:
        """Send the head of events, which needs no first one. Whether that is all."""
        if not self._items.is_event_stream or self._controller.error_code:
            return False
        self._begin()
        return self._is_head

    def _put(self, item: object) -> bool:
        """Send an item. False if no more are wanted."""
        stream = self._stream
        if stream.is_gone:
            return False
        if self._controller.error_code:
            return False
        data = self._items.to_bytes(item) if stream.has_begun else self._begin(item)
        if self._is_head:
            return False
        stream.write(data)
        return True

    def _finish(self) -> None:
        """The generator has ended by itself, or no more of it is wanted."""
        stream, controller = self._stream, self._controller
        if stream.has_begun and controller.error_code:
            self._fail(InternalServerError(controller.error_text))
            return
        if not stream.has_begun and controller.error_code:
            self._answer(None)
            return
        if not stream.has_begun:
            self._begin()
        stream.end()
        self._end_call(0)

    def _fail(self, error: BaseException) -> None:
        """The generator has raised. Never raises."""
        try:
            if self._stream.is_gone:
                self._stream.close()
                self._end_call(int(ErrorCode.EFAILEDSOCKET))
            elif self._stream.has_begun:
                self.call.fail(self._controller, error)
                what, why = self.call.full_name(), self._controller.error_text
                SERVER.warning("the response of %s is cut off: %s", what, why)
                self._stream.close()
                self._end_call(self._controller.error_code)
            else:
                self._answer(error)
        except BaseException as raised:
            SERVER.caught("%r can't be ended", self, error=raised)
            self._end_call(int(ErrorCode.EINTERNAL))

    def _answer(self, error: BaseException | None) -> None:
        """A response without a body of its own: that of a failure."""
        if error is not None:
            self.call.fail(self._controller, error)
        data = self.call.pack(self._controller, None)
        self._stream.abandon()
        self._end(data)

    def _end_call(self, error_code: int) -> None:
        self.call.error_code = error_code
        self.call.sent_bytes = self._stream.bytes_sent
        self._end(IOBuf())

    def _end(self, data: IOBuf) -> None:
        if self._has_ended.try_set():
            if self.on_over is not None:
                self.on_over()
            self.call.end_serving()
            self.call.task = None
            self.call.connection.end([self.call], data)

    def _on_client_gone(self, error: RpcError) -> None:
        reason = f"the client is gone: {error.text}"
        served, connection = self.call.served, self._exchange.connection
        if self.call.entry.cancel_handlers and served is not None:
            with contextlib.suppress(DispatcherClosedError):
                served.cancel(reason, connection.server.dispatcher.post_cleanup)
            self._cancel(reason)

    def _cancel(self, reason: str) -> None:
        """Cancel what the generator waits for. In a turn."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.call!r}>"


class ThreadBody(GeneratorBody):
    """A plain generator, in a thread of its own."""

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.call.full_name()

    def start(self, threads: BodyThreads, context: Context) -> None:
        """Start it. Never raises."""
        self._context = context
        try:
            threads.start(self)
        except BaseException as error:
            self._close_generator()
            self._fail(error)
            deliver_interrupt(error)

    def run(self) -> None:
        """In the thread. Never raises."""
        thread = handler_thread()
        thread.served = self.call.served
        try:
            self._context.run(self._run)
        finally:
            forget_handler_thread()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._send_all()
        except BaseException as raised:
            error = raised
        self._close_generator()
        try:
            if error is None:
                self._finish()
        except BaseException as raised:
            error = raised
        if error is not None:
            self._fail(error)

    def _send_all(self) -> None:
        signal = WakeSignal()
        if self._begins_at_once():
            return
        for item in self._generator:
            if not self._put(item):
                return
            while not (self._stream.has_room() or self._stream.is_gone):
                self._stream.when_room(signal.set)
                signal.wait()

    def _close_generator(self) -> None:
        close = getattr(self._generator, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:
                SERVER.caught("the generator of %s can't be closed", self.call, error=error)


class TaskBody(GeneratorBody):
    """An async generator, in a task of the loop of async handlers."""

    _loop: asyncio.AbstractEventLoop

    def start(self, loop_of: Callable[[], asyncio.AbstractEventLoop], context: Context) -> None:
        """Start it in the loop that `loop_of` returns. Any thread; never raises."""
        try:
            with making_lock():  # of two threads, one makes the loop
                loop = self._loop = loop_of()
            if asyncio._get_running_loop() is loop:
                self._start_task(context)
            else:
                loop.call_soon_threadsafe(self._start_task, context)
        except BaseException as error:
            self._fail(InternalServerError("The loop of async handlers can't run the request"))
            deliver_interrupt(error)

    def _start_task(self, context: Context) -> None:
        name = f"pybrpc-body-{self.call.entry.full_name}"
        coroutine = self._run()
        context.run(set_current_call, self.call.served)
        self.call.task = asyncio.Task(coroutine, loop=self._loop, name=name, context=context)
        # Store, then load: either this sees that the client is gone, or the client's end the task.
        if self._stream.is_gone and self.call.entry.cancel_handlers:
            self.call.cancel_handler("the client is gone")

    def _cancel(self, reason: str) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.call.cancel_handler, reason)

    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            await self._send_all()
        except GeneratorExit:
            # The loop is gone, so nothing can be awaited.
            self._fail(InternalServerError("The loop of async handlers was closed"))
            raise
        except BaseException as raised:
            error = raised
        try:
            await self._close_generator()
            if error is None:
                self._finish()
        except BaseException as raised:
            error = raised
        if error is not None:
            self._fail(error)
            deliver_interrupt(error)

    async def _send_all(self) -> None:
        if self._begins_at_once():
            return
        sent = 0
        async for item in self._generator:
            if not self._put(item):
                return
            sent += 1
            if not self._stream.has_room():
                await wait_for_room(self._stream)
            elif sent % MAX_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _close_generator(self) -> None:
        close = getattr(self._generator, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except (GeneratorExit, asyncio.CancelledError):
            raise
        except BaseException as error:
            SERVER.caught("the generator of %s can't be closed", self.call, error=error)
