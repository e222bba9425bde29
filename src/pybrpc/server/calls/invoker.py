"""Invoker: calls handlers, each in a context of its own.

The context of a call is a copy of the one in which the server was started. So a handler sees what
was set up there, and neither what other handlers have set, nor what belongs to the thread or loop
that it runs in.

The handler's own calls find the ServedCall, from which they inherit: see `rpc.serving`.

A handler can raise anything, and nothing of it leaves the Invoker: each call that it is given is
answered, or ended without a response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context
from time import monotonic
from types import CoroutineType
from typing import Any

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.guard import SERVER
from pybrpc.errors import RpcError, RpcTimeoutError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.serving import HandlerThread, set_current_call
from pybrpc.server.calls.call_span import traced
from pybrpc.server.calls.method_entry import SLOW_S
from pybrpc.server.calls.response_batch import FLUSH_S, ResponseBatch
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.tracing.switch import leave_current_span


class Invoker:
    """Runs the calls of one server. Any thread."""

    __slots__ = ("_start_parsed", "expired", "new_context")

    def __init__(self, context: Context, start_parsed: Callable[[ServerCall], object]) -> None:
        """`context`: what handlers see; nobody may enter it. `start_parsed`: starts an async call
        whose request was parsed in a worker."""
        # A handler may have started this server; what these handlers serve is another call.
        context.run(set_current_call, None)
        context.run(leave_current_span)
        self.new_context: Callable[[], Context] = context.copy
        """Makes the context of one call."""
        self._start_parsed = start_parsed
        self.expired = atomic_counter()
        """Calls that were answered without running, because their deadlines had passed."""

    def run(self, call: ServerCall, response_batch: ResponseBatch, thread: HandlerThread) -> None:
        """Run a plain handler in `thread`, the calling one; put its response into `response_batch`.

        Of an async one only parse the request, which takes too long for a loop. Never raises.
        """
        try:
            if self.ends_unrun(call):
                return
            now = monotonic()
            late = self.answer_if_late(call, now)
            if late is not None:
                response_batch.add(call, late, now)
            elif call.entry.is_async:
                self._parse(call, response_batch)
            else:
                self._run(call, response_batch, thread, now)
        except BaseException as error:
            SERVER.caught("%r can't be run", call, error=error)
            call.end()

    def call_handler(self, call: ServerCall, controller: Controller) -> Coroutine[Any, Any, Any]:
        """Parse, and return the coroutine of an async handler. Raises the errors of both steps.

        Called in the context of the call.
        """
        set_current_call(call.served)
        coroutine = _handler_of(call)(call.parse(), controller)
        return coroutine if type(coroutine) is CoroutineType else _coroutine_of(coroutine)

    def ends_unrun(self, call: ServerCall) -> bool:
        """It is the turn of `call`. End it if its connection has failed, or is to end before its
        response. True if it has ended."""
        # Store, then load, on both sides (see base.atomic): a connection that fails only now
        # finds what `serve` has stored.
        call.serve()
        replies = call.connection.replies
        is_dropped = replies is not None and replies.drops(call.position)
        if is_dropped or call.connection.is_gone():
            call.end()
            return True
        return False

    def answer_if_late(self, call: ServerCall, now: float) -> IOBuf | None:
        """The response of a call whose deadline has passed before its turn. `None`: run it."""
        if not call.has_expired(now):
            return None
        self.expired.increment_and_get(1)
        controller = call.make_controller()
        waited_ms = int((now - call.received_at) * 1000)
        text = f"The deadline of the request passed before its turn, which came after {waited_ms}ms"
        call.fail(controller, RpcTimeoutError(text))
        return call.pack(controller, None)

    def end_expired(self, calls: list[ServerCall], now: float) -> None:
        """Answer calls that have expired while they waited. Never raises."""
        for call in calls:
            try:
                call.connection.end([call], self.answer_if_late(call, now))
            except BaseException as error:
                SERVER.caught("%r can't be ended", call, error=error)
                call.end()

    def refuse(self, call: ServerCall, error: RpcError) -> None:
        """Answer `error` to a call that was admitted and won't be run. Never raises."""
        try:
            controller = call.make_controller()
            call.fail(controller, error)
            call.connection.end([call], call.pack(controller, None))
        except BaseException as raised:
            SERVER.caught("%r can't be refused", call, error=raised)
            call.end()

    def _run(
        self,
        call: ServerCall,
        response_batch: ResponseBatch,
        thread: HandlerThread,
        started_at: float,
    ) -> None:
        entry = call.entry
        if response_batch and entry.mean_s > FLUSH_S:
            response_batch.flush()
        controller = call.make_controller()
        request: object = None
        response: object = None
        context = None
        try:
            request = call.parse()
            thread.served = call.served
            context = self.new_context()
            response = context.run(_handler_of(call), request, controller)
            request = None  # so that the bytes of the response find room where it was
        except BaseException as error:
            # Also SystemExit: a handler ends neither the worker nor the server by raising.
            if context is None:
                call.fail(controller, error)
            else:
                # In its context, so that what is logged has the ids of its span.
                context.run(_fail, call, controller, error)
        finally:
            thread.served = None
            call.end_serving()
        form = call.form
        if form is not None and form.takes_over(call, controller, response, context):
            entry.note_duration(monotonic() - started_at)
            return
        data = call.pack(controller, response)
        response = None
        now = monotonic()
        seconds = now - started_at
        entry.note_duration(seconds if seconds <= SLOW_S else thread.own_s(seconds))
        response_batch.add(call, data, now)

    def _parse(self, call: ServerCall, response_batch: ResponseBatch) -> None:
        try:
            call.message = call.parse()
        except BaseException as error:
            controller = call.make_controller()
            call.fail(controller, error)
            response_batch.add(call, call.pack(controller, None), monotonic())
            return
        self._start_parsed(call)


def _fail(call: ServerCall, controller: Controller, error: BaseException) -> None:
    """`call.fail`, for a context. (A method of a compiled call is no object that can be given.)"""
    call.fail(controller, error)


def _handler_of(call: ServerCall) -> Callable[..., Any]:
    """The handler of a call; if the call is traced, it notes when it begins."""
    handler: Callable[..., Any] = call.entry.handler
    return handler if call.span is None else traced(call.span, handler)


async def _coroutine_of(returned: Awaitable[Any] | AsyncIterator[Any]) -> Any:
    """The result of what an async handler has returned that is no coroutine."""
    if isinstance(returned, AsyncIterator):
        return returned
    return await returned
