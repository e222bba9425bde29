"""Attempt: one try of a call over one connection; and how its call and its connection see it.

An attempt connects a call with a connection, neither of which knows the class of the other. The
call sends it (`AttemptConnection.send`); from then on it waits in the connection for its response.
Of all threads that try to remove it there (`AttemptConnection.take`) exactly one succeeds; that
thread must continue the call or end it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from pybrpc.base.guard import CLIENT, run_guarded
from pybrpc.client.calls.attempt_end import CODES, AttemptEnd, CanceledBy
from pybrpc.errors import ErrorCode, Phase, ProtocolError

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt_end import AttemptListener
    from pybrpc.errors import RpcError
    from pybrpc.rpc.controller import Controller
    from pybrpc.rpc.timeout_queue import TimeoutQueues
    from pybrpc.tracing.span import Span
    from pybrpc.transport.dispatch.direct_dispatcher import DirectDispatcher
    from pybrpc.transport.socket.socket import Socket
    from pybrpc.transport.writing.write_request import WriteRequest


class WaitPoint(Protocol):
    """A place where a call waits: an attempt, the queue for a connection, a pause.

    The caller that claims the call there must continue it or end it.
    """

    def try_claim(self) -> bool:
        """True for exactly one caller, and only while it waits here. Any thread, never blocks."""

    def try_cancel(self, canceled_by: CanceledBy) -> bool:
        """Claim the call, and don't send a request that was not sent yet. True as for
        `try_claim`."""

    @property
    def phase(self) -> Phase:
        """How far a call that waits here has come."""


class AttemptedCall(Protocol):
    """A call, as a connection sees it. The connection calls an `on_` method for an attempt that it
    has claimed."""

    method: Any
    controller: Controller | None
    body: Any
    """The request, as a connection packs it."""
    span: Span | None
    """Its span; `None`: it is not traced."""

    def wire_timeout_ms(self) -> int | None:
        """The timeout that is sent to the server, in milliseconds."""

    def on_response(self, attempt: Attempt, response: Any) -> None:
        """The response has arrived."""

    def on_error_response(self, attempt: Attempt, error: RpcError, response: Any = None) -> None:
        """A response has arrived, and it is an error. `response`: what the controller of a call
        that ends with it gets beside the error; `None`: nothing."""

    def on_bad_response(self, attempt: Attempt, reason: str) -> None:
        """A response has arrived that can't be parsed."""

    def on_attempt_failed(self, attempt: Attempt, error: RpcError) -> None:
        """The connection broke before a response."""

    def on_raised(self, attempt: Attempt, reason: BaseException) -> None:
        """One of the methods above has raised `reason`: end the call if it has not ended."""


class AttemptPick(Protocol):
    """The server that was picked for an attempt of a call."""

    @property
    def backup_pick(self) -> AttemptPick | None:
        """That of the backup request of the same call."""

    def end(self, code: int, canceled_by: CanceledBy | None) -> None:
        """The attempt has ended, or there was none. Only the first call counts; any thread, never
        raises."""


class AttemptConnection(Protocol):
    """A connection, as a call sees it."""

    socket: Socket
    timeouts: TimeoutQueues
    direct: DirectDispatcher | None
    """By which a caller reads it that has it for itself; `None`: no caller may."""

    def is_usable(self) -> bool:
        """Whether a call may be sent over it."""

    def send(self, attempt: Attempt) -> None:
        """Write one attempt. Raises the RpcError of a socket that refuses it; then the attempt does
        not wait here, and the caller must `release` the connection."""

    def take(self, attempt: Attempt) -> bool:
        """Remove an attempt whose response is not needed. True for exactly one caller."""

    def release(self) -> None:
        """Return it unused to its source."""

    def retire(self) -> None:
        """Send no new calls over it, and close it when those in flight have ended."""


class Attempt:
    """A WaitPoint: a call that waits on `connection` for the response to `correlation_id`.

    The connection fills in `correlation_id` and `write_request` when it sends the attempt, and
    calls `begin` if somebody listens. The thread that has claimed the attempt, or whose connection
    has refused it, then reports its end.
    """

    __slots__ = (
        "call",
        "connection",
        "correlation_id",
        "listeners",
        "pick",
        "sent_at",
        "write_request",
    )

    call: AttemptedCall
    connection: AttemptConnection
    correlation_id: int
    write_request: WriteRequest | None
    listeners: list[tuple[AttemptListener, ...]] | None
    """The listeners; the thread that takes them out of the list reports the end. `None`: nobody
    listens, or the end was reported."""
    sent_at: float
    """Set by `begin`, in monotonic seconds."""
    pick: AttemptPick | None
    """How its server was picked out of a cluster; `None`: the call has but one server."""

    def try_claim(self) -> bool:
        return self.connection.take(self)

    def try_cancel(self, canceled_by: CanceledBy) -> bool:
        is_claimed = self.try_claim()
        if is_claimed:
            if self.write_request is not None:
                self.write_request.cancel()
            if self.listeners is not None or self.pick is not None:
                self.report(CODES.get(canceled_by, int(ErrorCode.ECANCELED)), canceled_by)
        return is_claimed

    def begin(self, listeners: tuple[AttemptListener, ...]) -> None:
        """It is about to be sent: its end will be reported to `listeners`."""
        self.listeners = [listeners]
        self.sent_at = time.monotonic()

    def report(self, code: int, canceled_by: CanceledBy | None = None) -> None:
        """Report its end, if that has not been reported yet."""
        if self.pick is not None:
            self.pick.end(int(code), canceled_by)
        waiting = self.listeners
        if waiting is None:
            return
        try:
            listeners = waiting.pop()
        except IndexError:  # Another thread reports it just now.
            return
        self.listeners = None
        latency_us = int((time.monotonic() - self.sent_at) * 1e6)
        end = AttemptEnd(self.connection.socket.remote_side, int(code), latency_us, canceled_by)
        for listener in listeners:
            run_guarded(listener, end, what="a listener to the ends of attempts", log=CLIENT)

    def report_failure(self, error: RpcError) -> None:
        """Report that its connection failed with `error`."""
        is_closed = error.code == ErrorCode.ECLOSE and not error.is_remote
        if self.pick is not None and isinstance(error, ProtocolError):
            # Its code, EINVAL, is that of a response to a bad request too.
            self.pick.end(int(ErrorCode.ERESPONSE), None)
        self.report(error.code, CanceledBy.CLOSE if is_closed else None)

    @property
    def phase(self) -> Phase:
        request = self.write_request
        if request is None:
            return Phase.QUEUED
        socket = self.connection.socket
        if not socket.is_connected:
            return socket.connecting_phase()
        return request.phase

    def __repr__(self) -> str:
        return f"<Attempt {self.correlation_id} of {self.call!r}>"


def new_attempt(call: AttemptedCall, connection: AttemptConnection) -> Attempt:
    """Make an Attempt. A typed function costs a compiled caller less than a constructor."""
    attempt = Attempt.__new__(Attempt)
    attempt.call = call
    attempt.connection = connection
    attempt.correlation_id = 0
    attempt.write_request = None
    attempt.listeners = None
    attempt.pick = None
    return attempt
