"""Attempt: one try of a call over one connection; and how its call and its connection see it.

An attempt connects a call with a connection, neither of which knows the class of the other. The
call sends it (`AttemptConnection.send`); from then on it waits in the connection for its response.
Of all threads that try to remove it there (`AttemptConnection.take`) exactly one succeeds; that
thread must continue the call or end it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pybrpc.errors import Phase

if TYPE_CHECKING:
    from pybrpc.errors import RpcError
    from pybrpc.rpc.controller import Controller
    from pybrpc.rpc.timeout_queue import TimeoutQueues
    from pybrpc.transport.socket.socket import Socket
    from pybrpc.transport.writing.write_request import WriteRequest


class WaitPoint(Protocol):
    """A place where a call waits: an attempt, the queue for a connection, a pause.

    The caller that claims the call there must continue it or end it.
    """

    def try_claim(self) -> bool:
        """True for exactly one caller, and only while it waits here. Any thread, never blocks."""

    def try_cancel(self) -> bool:
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

    def wire_timeout_ms(self) -> int | None:
        """The timeout that is sent to the server, in milliseconds."""

    def on_response(self, attempt: Attempt, response: Any) -> None:
        """The response has arrived."""

    def on_error_response(self, attempt: Attempt, error: RpcError) -> None:
        """A response has arrived, and it is an error."""

    def on_bad_response(self, attempt: Attempt, reason: str) -> None:
        """A response has arrived that can't be parsed."""

    def on_attempt_failed(self, attempt: Attempt, error: RpcError) -> None:
        """The connection broke before a response."""


class AttemptConnection(Protocol):
    """A connection, as a call sees it."""

    socket: Socket
    timeouts: TimeoutQueues

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

    The connection fills in `correlation_id` and `write_request` when it sends the attempt.
    """

    __slots__ = ("call", "connection", "correlation_id", "write_request")

    call: AttemptedCall
    connection: AttemptConnection
    correlation_id: int
    write_request: WriteRequest | None

    def try_claim(self) -> bool:
        return self.connection.take(self)

    def try_cancel(self) -> bool:
        is_claimed = self.try_claim()
        if is_claimed and self.write_request is not None:
            self.write_request.cancel()
        return is_claimed

    @property
    def phase(self) -> Phase:
        request = self.write_request
        if request is None:
            return Phase.QUEUED
        if not self.connection.socket.is_connected:
            return Phase.CONNECT
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
    return attempt
