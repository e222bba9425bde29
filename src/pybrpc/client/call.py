"""Call: one call from its start to its end; the engine under all forms of calling.

A call makes attempts. An attempt waits in the `_pending` of a connection, and whoever takes it out
of there (answer, broken connection, deadline, cancellation) owns the call: it ends it, or, after a
broken connection, makes the next attempt. So a call ends once, and the forms differ only in
`on_done`.

A deadline or a cancellation may come while somebody else owns the call. It leaves `_abort_error`
first and tries to take the attempt after; an owner that makes a new attempt looks at
`_abort_error` after the attempt is pending. One of the two sees the other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from pybrpc.base.deadline import NEVER
from pybrpc.client.retry import may_retry
from pybrpc.errors import (
    BadRequestError,
    BadResponseError,
    ErrorCode,
    Phase,
    RpcError,
    make_rpc_error,
)
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body import parse_response, serialize_request
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method
from pybrpc.rpc.timeout_queue import TimeoutQueue
from pybrpc.transport.socket_map import SharedConnection
from pybrpc.transport.write_request import WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.connection import ClientConnection

MAX_TIMEOUT_MS = 0x7FFFFFFF


class Call:
    """One call. A form of calling is a subclass with an `on_done`."""

    __slots__ = (
        "_abort_error",
        "_failures",
        "_max_retry",
        "_shared",
        "_started_at",
        "_timeout_queue",
        "_timeout_s",
        "body",
        "connection",
        "controller",
        "correlation_id",
        "deadline",
        "error",
        "method",
        "response",
        "retried_count",
        "write_request",
    )

    def __init__(
        self,
        shared: SharedConnection[ClientConnection],
        method: Method,
        request: Message,
        timeout_s: float | None,
        max_retry: int,
        controller: Controller | None,
    ) -> None:
        self.method = method
        self.controller = controller
        self.connection: ClientConnection | None = None
        self.write_request: WriteRequest | None = None
        self.correlation_id = 0
        self.response: RpcResponse | None = None
        self.error: RpcError | None = None
        self.retried_count = 0
        self._shared = shared
        self._timeout_s = timeout_s
        self._max_retry = max_retry
        self._abort_error: RpcError | None = None
        self._failures = ""
        self._timeout_queue: TimeoutQueue | None = None
        self._started_at = time.monotonic()
        self.deadline = NEVER if timeout_s is None else self._started_at + timeout_s
        if controller is not None:
            controller.reset()
            controller.method_name = method.full_name
        self.body = self._serialize(request)

    def on_done(self) -> None:
        """The call has ended: `error` or `response` is set. Called once, by any thread."""
        raise NotImplementedError

    def start(self, expires: bool = True) -> None:
        """Make the first attempt. With `expires` a timer ends the call at its deadline.

        Never blocks and raises nothing: what goes wrong ends the call. Only what a signal handler
        raises meanwhile comes out.
        """
        try:
            connection = self.connection = self._shared.get()
            if self._timeout_s == 0:
                self._fail(self.timeout_error())
                return
            if expires and self._timeout_s is not None:
                self._timeout_queue = connection.timeouts.of(self._timeout_s)
                self._timeout_queue.add(self)
            self._attempt(connection)
        except BaseException:
            self._on_interrupted()
            raise

    def is_on_dispatcher(self) -> bool:
        """Whether the calling code runs in a turn of the dispatcher that must bring the answer."""
        return self._shared.get().socket.dispatcher.is_current()

    def abort(self, error: RpcError) -> bool:
        """End the call with `error`; False if somebody else is just ending it. Any thread."""
        self._abort_error = error
        connection = self.connection
        if connection is None or not connection.take(self.correlation_id):
            return False
        self._fail(error)
        return True

    def expire(self) -> None:
        """The deadline has passed."""
        self.abort(self.timeout_error())

    def wire_timeout_ms(self) -> int | None:
        """What the server is told: the timeout, or in a retry what is left of it; at least 1."""
        if self._timeout_s is None:
            return None
        left_s = self._timeout_s
        if self.retried_count:
            left_s = self.deadline - time.monotonic()
        return min(max(1, int(left_s * 1000)), MAX_TIMEOUT_MS)

    def message(self) -> Message:
        """The response message, or the call's error raised. After `on_done`."""
        if self.error is not None:
            raise self.error
        assert self.response is not None
        try:
            return parse_response(self.response, self.method.response_class)
        except BadResponseError as error:
            error.peer = self.peer
            self._note_in_full(error)
            self._note_error(error)
            raise

    # --- owned by the caller of these: it has taken the attempt out ---

    def on_response(self, response: RpcResponse) -> None:
        """The answer has come."""
        if response.error_code:
            self._fail(
                make_rpc_error(
                    response.error_code,
                    response.error_text,
                    phase=Phase.SERVER,
                    peer=self.peer,
                    is_remote=True,
                )
            )
            return
        self.response = response
        self._end()

    def on_bad_response(self, reason: str) -> None:
        """An answer has come that makes no sense."""
        self._fail(BadResponseError(reason, phase=Phase.WAITING, peer=self.peer))

    def on_connection_failed(self, error: RpcError) -> None:
        """The connection broke before an answer: try again, or end."""
        if self._gives_up_after(error):
            self._fail(error.copy(self._phase(), self.peer))
        else:
            self._note_failure(error)
            self.retried_count += 1
            self._attempt(self._shared.get())

    # --- details ---

    @property
    def peer(self) -> str:
        connection = self.connection
        return str(connection.socket.remote_side) if connection is not None else ""

    def _serialize(self, request: Message) -> bytes:
        try:
            return serialize_request(request, self.method.request_class)
        except BadRequestError as error:
            self._note_in_full(error)
            self._note_error(error)
            raise

    def _attempt(self, connection: ClientConnection) -> None:
        while True:
            try:
                connection.send(self)
            except RpcError as error:
                if self._gives_up_after(error):
                    self._fail(error.copy(Phase.QUEUED, self.peer))
                    return
                self._note_failure(error)
                self.retried_count += 1
                connection = self._shared.get()
                continue
            abort_error = self._abort_error
            if abort_error is None and self.retried_count and time.monotonic() >= self.deadline:
                abort_error = self.timeout_error()
            if abort_error is not None:
                self.abort(abort_error)
            return

    def _on_interrupted(self) -> None:
        """Drop the connection: its write right may be lost with the frames that were unwound."""
        self.abort(self.canceled_error())
        connection = self.connection
        if connection is not None:
            text = f"Interrupted by a signal handler that raised, while calling {self.peer}"
            connection.socket.set_failed(
                make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=self._phase(), peer=self.peer)
            )

    def _gives_up_after(self, error: RpcError) -> bool:
        return (
            self.retried_count >= self._max_retry
            or not may_retry(error.code)
            or self._abort_error is not None
            or time.monotonic() >= self.deadline
        )

    def _phase(self) -> Phase:
        connection, request = self.connection, self.write_request
        if connection is None or request is None:
            return Phase.QUEUED
        if not connection.socket.is_connected:
            return Phase.CONNECT
        return request.phase

    def timeout_error(self) -> RpcError:
        timeout_ms = int((self._timeout_s or 0) * 1000)
        text = f"Reached timeout={timeout_ms}ms @{self.peer}"
        return make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=self._phase(), peer=self.peer)

    def canceled_error(self) -> RpcError:
        text = f"Canceled by the caller @{self.peer}"
        return make_rpc_error(ErrorCode.ECANCELED, text, phase=self._phase(), peer=self.peer)

    def _note_failure(self, error: RpcError) -> None:
        retry = f"[R{self.retried_count}]" if self.retried_count else ""
        gap = " " if self._failures else ""
        self._failures += f"{gap}{retry}[E{error.code}]{error.text}"

    def _note_in_full(self, error: RpcError) -> None:
        """Make the text of the last error that of the whole call."""
        self._note_failure(error)
        error.text = self._failures
        error.args = (error.text,)

    def _fail(self, error: RpcError) -> None:
        self._note_in_full(error)
        self.error = error
        self._end()

    def _end(self) -> None:
        if self._timeout_queue is not None:
            self._timeout_queue.discard(self)
        if self.controller is not None:
            self._fill(self.controller)
        self.on_done()

    def _fill(self, controller: Controller) -> None:
        controller.latency_us = int((time.monotonic() - self._started_at) * 1e6)
        controller.retried_count = self.retried_count
        if self.connection is not None:
            controller.remote_side = self.connection.socket.remote_side
            controller.local_side = self.connection.socket.local_side
        if self.response is not None:
            controller._response_attachment = self.response.attachment
            controller._response_user_fields = self.response.user_fields
        if self.error is not None:
            self._note_error(self.error)

    def _note_error(self, error: RpcError) -> None:
        if self.controller is not None:
            self.controller.error_code = error.code
            self.controller.error_text = error.text

    def __repr__(self) -> str:
        state = "failed" if self.error else "answered" if self.response else "in flight"
        return f"<{type(self).__name__} {self.method.full_name} {state}>"
