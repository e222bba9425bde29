"""UnauthenticatedRequest: a request that waits for its turn, when it may have to carry the
credential of its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.iobuf import IOBuf
from pybrpc.transport.write_request import WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.attempt import Attempt
    from pybrpc.client.authentication import Authentication
    from pybrpc.errors import RpcError
    from pybrpc.protocols.message import RpcRequest
    from pybrpc.protocols.protocol import RpcProtocol


class UnauthenticatedRequest:
    """A SocketMessage: the bytes of `packed`, or those of `request` and the credential."""

    __slots__ = ("_attempt", "_authentication", "_packed", "_protocol", "_request")

    def __init__(
        self,
        attempt: Attempt,
        request: RpcRequest,
        packed: IOBuf,
        protocol: RpcProtocol,
        authentication: Authentication,
    ) -> None:
        """`request` must be the caller's no more: it may be packed again, later."""
        self._attempt = attempt
        self._request = request
        self._packed = packed
        self._protocol = protocol
        self._authentication = authentication

    def as_write_request(self) -> WriteRequest:
        """What is queued for it. It counts in the backlog what it has without the credential."""
        write_request = WriteRequest(IOBuf(), self, self._on_outcome)
        write_request.size_bytes = len(self._packed)
        return write_request

    def append_to(self, buffer: IOBuf) -> None:
        authentication = self._authentication
        if authentication.is_sent:
            buffer.swap(self._packed)
            return
        self._request.credential = authentication.credential()
        buffer.append(self._protocol.pack_request(self._request))
        authentication.note_sent(self._attempt)

    def _on_outcome(self, error: RpcError | None) -> None:
        """It was not written, for this reason."""
        attempt, failure = self._attempt, self._authentication.failure
        connection = attempt.connection
        if failure is not None:
            connection.socket.set_failed(failure)
        elif error is not None and not connection.socket.is_failed and connection.take(attempt):
            attempt.call.on_attempt_failed(attempt, error)
