"""The span of a request that is traced: how it begins, what it notes, how it ends.

Requests without a span never come here: `ServerCall.span` is `None`. Nothing here raises, since
nothing that strikes a span may keep a call from its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pybrpc.base.guard import SERVER
from pybrpc.errors import ErrorCode
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls.interfaces import CallConnection
from pybrpc.server.calls.raw_request import called_name
from pybrpc.tracing.process_rpcz import RPCZ
from pybrpc.tracing.span import Span
from pybrpc.tracing.switch import set_current_span

NO_RESPONSE = int(ErrorCode.EFAILEDSOCKET)
"""The `error_code` in the span of a call that ends without a response: its connection is gone."""


def begin_span(
    connection: CallConnection, request: RpcRequest, method: str, now: float
) -> Span | None:
    """The span of a request that was read at `now`, in monotonic seconds; `None`: it gets none."""
    try:
        span = RPCZ.begin_server_span(request, method, now)
        if span is not None:
            span.remote_side = connection.socket.remote_side
            span.protocol = str(connection.protocol.name)
            log_id = request.log_id
            span.log_id = None if log_id is None else unsigned_log_id(log_id)
            span.request_size = body_size(request)
        return span
    except BaseException as error:
        SERVER.caught("a request can't be traced", error=error)
        return None


def note_turn(span: Span) -> None:
    """It is the turn of the request: it will be parsed."""
    if not span.start_parse_us and not span.is_over:
        span.start_parse_us = span.at_us(time.monotonic())


def note_answer(span: Span) -> None:
    """The handler has ended, or there is none to run."""
    if not span.is_over:
        span.start_send_us = span.at_us(time.monotonic())


def traced(span: Span, handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler`, which will run in the context of its call, as a function that makes `span` the
    current one there."""
    return partial(_run, span, handler)


def _run(span: Span, handler: Callable[..., Any], request: Any, controller: Any) -> Any:
    enter_span(span)
    return handler(request, controller)


def enter_span(span: Span) -> None:
    """Make `span` the current one of the running context, in which its handler begins now."""
    set_current_span(span)
    if not span.is_over:
        span.start_callback_us = span.at_us(time.monotonic())


def end_span(span: Span, error_code: int, sent_bytes: int) -> None:
    """The response was given to its connection, or nobody gets one. `error_code` and `sent_bytes`
    are those of the ServerCall."""
    try:
        now_us = span.at_us(time.monotonic())
        if error_code < 0:
            span.error_code = NO_RESPONSE
        else:
            span.error_code = error_code
            span.sent_us = now_us
        span.start_send_us = span.start_send_us or now_us
        span.response_size = sent_bytes
        RPCZ.end(span)
    except BaseException as error:
        SERVER.caught("%r can't be stored", span, error=error)


def trace_rejected(
    connection: CallConnection, request: RpcRequest, code: int, received_at: float
) -> None:
    """A request was answered with `code` without being admitted."""
    span = begin_span(connection, request, called_name(request), received_at)
    if span is None:
        return
    try:
        span.error_code = int(code)
        span.start_send_us = span.sent_us = span.at_us(time.monotonic())
        RPCZ.end(span)
    except BaseException as error:
        SERVER.caught("the span of a rejected request can't be stored", error=error)


def body_size(request: RpcRequest) -> int:
    """Bytes of body and attachment."""
    attachment = request.attachment
    return len(request.body) + (0 if attachment is None else len(attachment))


def unsigned_log_id(log_id: int) -> int:
    """A log id, which is unsigned, as in C++; the field that carries it is not."""
    return log_id if log_id >= 0 else log_id + LOG_IDS


LOG_IDS = 0x10000000000000000
"""The number of log ids: they have 64 bits."""
