"""The span of a call that is traced: how it begins, what it notes, how it ends.

Calls without a span never come here: `CallRecord.span` is `None`. Nothing here raises, since
nothing that strikes a span may keep a call from its end.
"""

from __future__ import annotations

import time
from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import CLIENT
from pybrpc.errors import RpcError, error_name
from pybrpc.rpc.controller import Controller
from pybrpc.tracing.ids import as_unsigned

if TYPE_CHECKING:
    from pybrpc.tracing.process_rpcz import Rpcz
    from pybrpc.tracing.span import Span


def _rpcz() -> Rpcz:
    """The tracing of the process. It has switched itself on, so it was imported before."""
    from pybrpc.tracing.process_rpcz import RPCZ

    return RPCZ


def begin_span(method: str, controller: Controller | None, now: float) -> Span | None:
    """The span of a call that begins at `now`, in monotonic seconds; `None`: it gets none."""
    try:
        span = _rpcz().begin_client_span(method, now)
        log_id = None if controller is None else controller.log_id
        if span is not None and log_id is not None:
            span.log_id = as_unsigned(log_id)
        return span
    except BaseException as error:
        CLIENT.caught("a call can't be traced", error=error)
        return None


def note_sent(span: Span) -> None:
    """An attempt was given to its connection. The call may have ended since."""
    now = time.monotonic()
    if not span.is_over:
        span.sent_us = span.at_us(now)


def note_failed_attempt(span: Span, code: int) -> None:
    """An attempt has failed with `code`. Its text is left out: a server may have written anything
    into it."""
    try:
        now = time.monotonic()
        span.annotate(f"an attempt has failed: {error_name(code)}", now)
    except BaseException as error:
        CLIENT.caught("%r can't be annotated", span, error=error)


def end_span(
    span: Span, remote_side: Endpoint | None, error: RpcError | None, response: Any
) -> None:
    """The call has ended with `error` or `response`; `remote_side`: the peer, or where the call
    would have gone to."""
    try:
        now_us = span.at_us(time.monotonic())
        span.remote_side = remote_side
        if error is None:
            span.received_us = now_us
            span.response_size = response_size(response)
        else:
            span.start_callback_us = now_us
            span.error_code = int(error.code)
        _rpcz().end(span)
    except BaseException as raised:
        CLIENT.caught("%r can't be stored", span, error=raised)


def response_size(response: Any) -> int:
    """Bytes of body and attachment; 0 of a response without a body, or whose body is read
    later."""
    body = getattr(response, "body", None)
    if not isinstance(body, Sized):
        return 0
    attachment = getattr(response, "attachment", None)
    return len(body) + (0 if attachment is None else len(attachment))
