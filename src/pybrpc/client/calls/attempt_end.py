"""AttemptEnd: how one attempt of a call ended, for those who watch the servers."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, HandlerCanceledError, RpcError


class CanceledBy(enum.StrEnum):
    """Why an attempt ended without a response or a failure of its connection."""

    DEADLINE = "deadline"
    """The deadline of the call has passed."""
    CALLER = "caller"
    """The caller has cancelled the call, or a signal handler has raised."""
    HANDLER = "handler"
    """The request was canceled that the handler serves which made the call."""
    OTHER_ATTEMPT = "other attempt"
    """Another attempt of the same call, with a backup request, has decided."""
    CLOSE = "close"
    """This side has closed the connection: its channel was closed, or nobody used it."""


class AttemptEnd(NamedTuple):
    """The end of one attempt. Every attempt that was sent, or refused by its connection, has
    exactly one."""

    endpoint: Endpoint | None
    """The address to which the connection leads."""
    code: int
    """0 for a response without an error, else the error's code."""
    latency_us: int
    """Microseconds from before the attempt was written."""
    canceled_by: CanceledBy | None
    """`None`: the server or the connection has ended it."""


AttemptListener = Callable[[AttemptEnd], object]
"""Called for each AttemptEnd by the thread that ends the attempt, before the call ends. It must not
block; what it raises is logged."""


def canceled_by(error: RpcError) -> CanceledBy:
    """The reason why attempts are cancelled whose call is aborted with `error`."""
    if error.code == ErrorCode.ERPCTIMEDOUT:
        return CanceledBy.DEADLINE
    if isinstance(error, HandlerCanceledError):
        return CanceledBy.HANDLER
    return CanceledBy.CALLER


CODES = {CanceledBy.DEADLINE: int(ErrorCode.ERPCTIMEDOUT)}
"""The code of a cancelled attempt, if it is not ECANCELED."""
