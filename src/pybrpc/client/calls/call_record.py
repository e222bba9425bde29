"""CallRecord: the data of one call: its request, its progress, its result.

Where the call waits, and which thread may end it, belongs to the Call. Only the thread that owns
the call changes its record; any thread may ask for the texts and the phase of an error.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pybrpc.errors import (
    BadRequestError,
    BadResponseError,
    ErrorCode,
    Phase,
    RpcError,
    is_unreachable,
    make_rpc_error,
)
from pybrpc.rpc.controller import Controller

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import AttemptConnection
    from pybrpc.client.calls.backup_request import Hedge
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.calls.interfaces import ConnectionSource

MAX_TIMEOUT_MS = 0x7FFFFFFF


class CallRecord:
    """The data of one call. `Call.set_up` sets the fields of both: a constructor here would cost
    200 ns per call."""

    __slots__ = (
        "_failures",
        "_started_at",
        "_timeout_s",
        "body",
        "connection",
        "controller",
        "deadline",
        "error",
        "hedge",
        "method",
        "options",
        "response",
        "retried_count",
        "source",
    )

    source: ConnectionSource
    method: CalledMethod
    options: CallOptions
    controller: Controller | None
    body: Any
    """The request, as a connection packs it."""
    deadline: float
    connection: AttemptConnection | None
    """The connection of the last attempt, or of the attempt that ended the call."""
    hedge: Hedge | None
    """Its backup request, if it may have one."""
    retried_count: int
    response: Any
    error: RpcError | None
    _timeout_s: float | None
    _started_at: float
    _failures: str
    """The texts of the attempts that have failed."""

    def message(self) -> Any:
        """The response, parsed, or the call's error raised. After the end."""
        if self.error is not None:
            raise self.error
        try:
            return self.method.parse(self.response, self.options.max_body_size)
        except BadResponseError as error:
            error.peer = self.peer
            self._note_last(error)
            raise

    def wire_timeout_ms(self) -> int | None:
        """The timeout that is sent to the server, in milliseconds, at least 1. In a retry it is the
        time that is left."""
        if self._timeout_s is None:
            return None
        left_s = self._timeout_s
        if self.retried_count or self.hedge is not None:
            left_s = self.deadline - time.monotonic()
        return min(max(1, int(left_s * 1000)), MAX_TIMEOUT_MS)

    @property
    def phase(self) -> Phase:
        """How far the call has come."""
        raise NotImplementedError

    @property
    def peer(self) -> str:
        connection = self.connection
        return str(self.source.endpoint if connection is None else connection.socket.remote_side)

    # --- what may follow an attempt ---

    @property
    def tries(self) -> int:
        """Attempts after the first one, including a backup request."""
        return self.retried_count + (self.hedge is not None and self.hedge.has_backup)

    @property
    def has_tries_left(self) -> bool:
        """Whether the request may be sent once more."""
        return self.tries < self.options.max_retry

    def waits_for_ready(self, error: RpcError) -> bool:
        """Whether the call waits, after `error`, until the endpoint can be reached."""
        return (
            self.options.wait_for_ready
            and is_unreachable(error)
            and time.monotonic() < self.deadline
        )

    def pause_s_after(self, error: RpcError) -> float | None:
        """Seconds to wait before the next attempt; `None` if there will be none.

        If the retry policy raises, there will be none, and the text of `error` reports it.
        """
        now = time.monotonic()
        if not self.has_tries_left or now >= self.deadline:
            return None
        retry = self.options.retry
        try:
            if not retry.may_retry(error):
                return None
            pause_s = retry.delay_s(self.retried_count)
        except Exception as reason:
            error.text += f" [and then the retry policy raised {reason!r}]"
            error.__cause__ = reason
            return None
        return pause_s if pause_s > 0 and now + pause_s < self.deadline else 0.0

    # --- its errors ---

    def timeout_error(self) -> RpcError:
        timeout_ms = int((self._timeout_s or 0) * 1000)
        text = f"Reached timeout={timeout_ms}ms @{self.peer}"
        cause = self.source.why_down if self.options.wait_for_ready else None
        if cause is not None:
            text += f", which is not ready: {cause.text}"
        error = make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=self.phase, peer=self.peer)
        error.__cause__ = cause
        return error

    def canceled_error(self) -> RpcError:
        text = f"Canceled by the caller @{self.peer}"
        return make_rpc_error(ErrorCode.ECANCELED, text, phase=self.phase, peer=self.peer)

    def note_failure(self, error: RpcError) -> None:
        """An attempt has failed, and the call continues."""
        retry = f"[R{self.retried_count}]" if self.retried_count else ""
        gap = " " if self._failures else ""
        self._failures += f"{gap}{retry}[E{error.code}]{error.text}"

    def _note_last(self, error: RpcError) -> None:
        """The call fails with `error`: make its text list the failures of all attempts."""
        self.note_failure(error)
        error.text = self._failures
        error.args = (error.text,)
        if self.controller is not None:
            self.controller.error_code = error.code
            self.controller.error_text = error.text

    def _fill(self, controller: Controller) -> None:
        """Fill in the caller's controller, without the error."""
        controller.latency_us = int((time.monotonic() - self._started_at) * 1e6)
        controller.retried_count = self.tries
        controller.has_backup_request = self.tries > self.retried_count
        if self.connection is not None:
            controller.remote_side = self.connection.socket.remote_side
            controller.local_side = self.connection.socket.local_side
        if self.response is not None:
            self.method.fill(controller, self.response)

    def _serialize(self, request: Any) -> Any:
        try:
            return self.method.serialize(request, self.controller)
        except BadRequestError as error:
            self._note_last(error)
            raise

    def __repr__(self) -> str:
        state = "failed" if self.error else "answered" if self.response else "in flight"
        return f"<{type(self).__name__} {self.method.full_name} {state}>"
