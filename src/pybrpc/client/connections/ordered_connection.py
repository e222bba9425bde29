"""OrderedConnection: a connection whose responses have no id, and come in the order of requests.

A request has its place in that order if and only if its bytes are on the wire, or will be, because
one step does both: `append_to`, which the holder of the write right runs for one request at a time,
oldest first. A request whose attempt was taken before that step leaves no bytes and gets no place.
If the attempt is taken later, the place stays, and the response is dropped when it comes.

A call may be sent again only if its request has not left. The step marks the request as set up, and
then checks that its attempt is still pending; a thread that takes an attempt checks afterwards
whether the request was set up. Store, then load, on both sides: at least one sees the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.client.connections.authentication import Authentication
from pybrpc.client.connections.connection import ConnectionOwner
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.outcomes import InternalOutcome
from pybrpc.transport.writing.write_request import Progress, WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.rpc.timeout_queue import TimeoutQueues


class EndedError(Exception):
    """The attempt was taken before its request was turned into bytes."""


class OrderedRequest:
    """A SocketMessage: the request of one attempt, which takes its place in the order."""

    __slots__ = ("_attempt", "_connection", "_correlation_id", "_is_placed", "_request")

    def __init__(
        self,
        attempt: Attempt,
        correlation_id: int,
        request: WriteRequest,
        connection: OrderedConnection,
    ) -> None:
        self._attempt = attempt
        self._correlation_id = correlation_id
        self._request = request
        self._connection = connection
        self._is_placed = False

    def append_to(self, buffer: IOBuf) -> None:
        """With the write right, before a byte of the request can leave."""
        attempt = self._attempt
        assert attempt.write_request is not None
        attempt.write_request.progress = Progress.SET_UP
        if self._correlation_id not in self._connection._pending:
            raise EndedError(f"{attempt!r} has ended")
        self._request.setup()
        self._is_placed = True
        self._connection.socket.session.note_sent(self._correlation_id)
        buffer.append(self._request.data)

    def on_outcome(self, error: RpcError | None) -> None:
        """The request was not written, because of `error`."""
        socket, inner = self._connection.socket, self._request.on_outcome
        if inner is not None:
            inner(error)
        elif error is not None and not socket.is_failed and self._connection.take(self._attempt):
            self._attempt.call.on_attempt_failed(self._attempt, error)
        if self._is_placed and error is not None:
            # Its bytes may be missing on the wire, and its place would get another response.
            socket.fail(error)


class OrderedWrite(WriteRequest):
    """The WriteRequest of an OrderedRequest: sent as soon as it is turned into bytes.

    The peer may act on it, and close, before the system call that sends it returns here.
    """

    __slots__ = ()

    def __init__(self, message: OrderedRequest, size_bytes: int) -> None:
        super().__init__(IOBuf(), message, InternalOutcome(message.on_outcome))
        self.size_bytes = size_bytes


class OrderedConnection(RpcConnection):
    """A connection of a protocol without correlation ids, shared by any number of callers."""

    __slots__ = ()

    def __init__(
        self,
        socket: Socket,
        timeouts: TimeoutQueues,
        protocol: RpcProtocol,
        owner: ConnectionOwner | None = None,
        authentication: Authentication | None = None,
        max_unconsumed_bytes: int = 0,
    ) -> None:
        super().__init__(socket, timeouts, protocol, owner, authentication, max_unconsumed_bytes)
        self._is_ordered = True

    def _in_order(
        self, attempt: Attempt, correlation_id: int, request: WriteRequest
    ) -> WriteRequest:
        message = OrderedRequest(attempt, correlation_id, request, self)
        return OrderedWrite(message, request.size_bytes)
