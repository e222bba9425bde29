"""Failures of calls as responses: which code and text an error becomes.

Everything here also works with errors that were made to break it: whose text raises, whose code is
none, whose text is a megabyte long.
"""

from __future__ import annotations

import asyncio
import contextlib

from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller

MAX_TEXT = 8192
"""Longest error text that is sent, in characters. A text that is too long for a meta could not be
sent at all."""

_EINTERNAL = int(ErrorCode.EINTERNAL)


def note_failure(controller: Controller, error: BaseException, method_name: str) -> None:
    """Put `error`, which the handler of `method_name` or this library raised, into `controller`.

    An RpcError keeps its code, unless a call that the handler made has ended with it. All other
    errors are EINTERNAL, and are logged. Never raises.
    """
    if isinstance(error, RpcError) and _note_own(controller, error):
        return
    text = text_of(error)
    try:
        controller.set_failed(_EINTERNAL, text)
    except BaseException:
        # The handler has put something odd into its controller.
        controller.error_code = _EINTERNAL
        controller.error_text = f"{controller._server_identity}[E{_EINTERNAL}]{text}"
    if not isinstance(error, RpcError | asyncio.CancelledError):
        SERVER.raised("the handler of %s raised", method_name, error=error)


def _note_own(controller: Controller, error: RpcError) -> bool:
    """Note an RpcError that was raised to be sent. False if it can't be, or comes from a call."""
    try:
        if error.ended_call:
            return False
        controller.set_failed(error.code, str(error.text))
    except BaseException as raised:
        log_impossible(controller.method_name, raised)
        deliver_interrupt(raised)
        return False
    return True


def log_impossible(method_name: str, error: BaseException) -> None:
    """Log that what the handler of `method_name` returned, raised or put into its controller can't
    be sent, because of `error`."""
    SERVER.error("the answer of %s can't be sent: %s", method_name, text_of(error))


def text_of(error: BaseException) -> str:
    """The type and the text of `error`; the type alone if there is no text. Never raises."""
    name = type(error).__name__
    try:
        text = str(error)
        return f"{name}: {text}" if text else name
    except BaseException as raised:
        deliver_interrupt(raised)
        return name


def failure_of(correlation_id: int, controller: Controller) -> RpcResponse:
    """Make the response of a call that failed. As in C++ it has user fields, but no body."""
    code = controller.error_code
    return RpcResponse(
        correlation_id,
        _EINTERNAL if code == -1 else code,
        cut_text(controller.error_text),
        user_fields=controller._response_user_fields,
    )


def failure_to_respond(correlation_id: int, identity: str, error: BaseException) -> RpcResponse:
    """Make the response of a call whose own response can't be packed because of `error`."""
    code = error.code if isinstance(error, RpcError) else _EINTERNAL
    text = text_of(error) if not isinstance(error, RpcError) else error.text
    return RpcResponse(correlation_id, code, cut_text(f"{identity}[E{code}]{text}"))


def plain_failure(correlation_id: int) -> RpcResponse:
    """Make a response that can always be packed."""
    return RpcResponse(correlation_id, _EINTERNAL, f"[E{_EINTERNAL}]the response can't be packed")


def cut_text(text: str) -> str:
    """Return `text`, without its end if it is too long to be sent."""
    if len(text) <= MAX_TEXT:
        return text
    mark = f"... ({len(text)} characters)"
    return text[: MAX_TEXT - len(mark)] + mark


def close_coroutine(response: object) -> None:
    """Close a coroutine that a plain function returned, so that Python doesn't warn of it."""
    with contextlib.suppress(BaseException):
        if asyncio.iscoroutine(response):
            response.close()
