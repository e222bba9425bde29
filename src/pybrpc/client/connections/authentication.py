"""Authentication: the credential of one connection, and the request that carries it.

The first request that is written carries the credential, no other one does. Requests that are sent
before that wait in the write queue as SocketMessages. The write queue handles them one at a time,
oldest first, under the write right: the first one has the credential made, and is packed with it.
So the order of the queue decides which request carries the credential; nobody waits and no lock is
taken. A request that was cancelled before is never asked.

The response to that request tells whether the server accepts the credential. After ERPCAUTH no new
calls go over the connection. If it then breaks, the other calls on it fail with ERPCAUTH too and
are not sent again: a new connection would be refused as well.

After bRPC's `Socket::FightAuthentication`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.guard import deliver_interrupt, safe_repr
from pybrpc.errors import AuthenticationError, ErrorCode, Phase, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.rpc.authenticator import check_method
from pybrpc.transport.writing.outcomes import InternalOutcome
from pybrpc.transport.writing.write_request import WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.errors import RpcError
    from pybrpc.protocols.message import RpcRequest
    from pybrpc.protocols.protocol import RpcProtocol
    from pybrpc.rpc.authenticator import Authenticator


class Authentication:
    """The credential of one connection, and its state."""

    __slots__ = ("_authenticator", "_carrier", "_credential", "failure", "is_sent", "refusal")

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._carrier: Attempt | None = None
        self._credential: bytes | None = None
        self.is_sent = False
        """Whether a request that carries it is written, or will be before all that are sent now."""
        self.failure: AuthenticationError | None = None
        """Why no credential could be made."""
        self.refusal: RpcError | None = None
        """The error by which the server refused it."""

    def credential(self) -> bytes:
        """The credential, made when this is first called. For the holder of the write right.

        If it could not be made, each call raises the same AuthenticationError.
        """
        if self.failure is None and self._credential is None:
            self._generate()
        if self._credential is None:
            assert self.failure is not None
            raise self.failure.copy()
        return self._credential

    def note_sent(self, carrier: Attempt) -> None:
        """The request of `carrier` carries it. For the holder of the write right."""
        self._carrier = carrier
        self.is_sent = True

    def is_refused(self, attempt: Attempt, error: RpcError) -> bool:
        """Whether this response means that the server does not accept the credential."""
        is_refused = attempt is self._carrier and error.code == ErrorCode.ERPCAUTH
        if is_refused:
            self.refusal = error.copy()
        return is_refused

    def _generate(self) -> None:
        reason: BaseException | None = None
        credential: object = None
        try:
            credential = self._authenticator.generate_credential()
        except BaseException as raised:
            reason = raised
        if isinstance(credential, bytes):
            self._credential = credential
        else:
            what = f"a {type(credential).__name__} is not bytes"
            if reason is not None:
                what = safe_repr(reason)
            text = f"Fail to generate a credential: {what}"
            self.failure = AuthenticationError(text, phase=Phase.QUEUED)
            self.failure.__cause__ = reason
            if reason is not None:
                deliver_interrupt(reason)

    def __repr__(self) -> str:
        if self.failure is not None:
            state = "failed"
        elif self.refusal is not None:
            state = "refused"
        else:
            state = "sent" if self.is_sent else "not sent"
        return f"<Authentication by a {type(self._authenticator).__name__}, {state}>"


class NoCredential:
    """In place of an Authentication, for a channel without an authenticator.

    A server that wants a credential answers the first request of the connection with ERPCAUTH, and
    closes the connection. Then the other calls on it fail with ERPCAUTH too, and are not sent
    again.
    """

    __slots__ = ("refusal",)

    is_sent = True

    def __init__(self) -> None:
        self.refusal: RpcError | None = None
        """The error by which the server has refused a request."""

    def is_refused(self, attempt: Attempt, error: RpcError) -> bool:
        """False: a handler too may answer ERPCAUTH. If it was the server, it closes the
        connection."""
        if error.code == ErrorCode.ERPCAUTH:
            self.refusal = error.copy()
        return False

    def __repr__(self) -> str:
        return f"<NoCredential{'' if self.refusal is None else ', refused'}>"


def checked_authenticator(auth: Authenticator | None) -> Authenticator | None:
    """`auth` if a channel can use it, else a TypeError that names what is missing."""
    if auth is None:
        return None
    check_method(auth, "generate_credential")
    if getattr(auth, "__hash__", None) is None:
        raise TypeError(
            f"a {type(auth).__name__} can't be hashed: an authenticator that defines == must "
            "define __hash__ too, because channels with equal ones share connections"
        )
    return auth


class UnauthenticatedRequest:
    """A SocketMessage: the bytes of `packed`, or those of `request` with the credential."""

    __slots__ = ("_attempt", "_authentication", "_packed", "_protocol", "_request")

    def __init__(
        self,
        attempt: Attempt,
        request: RpcRequest,
        packed: IOBuf,
        protocol: RpcProtocol,
        authentication: Authentication,
    ) -> None:
        """The caller must not change `request` any more: it may be packed again, later."""
        self._attempt = attempt
        self._request = request
        self._packed = packed
        self._protocol = protocol
        self._authentication = authentication

    def as_write_request(self) -> WriteRequest:
        """The WriteRequest to queue. Its size in the backlog leaves out the credential."""
        write_request = WriteRequest(IOBuf(), self, InternalOutcome(self._on_outcome))
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
        """The request was not written, because of `error`."""
        attempt, failure = self._attempt, self._authentication.failure
        connection = attempt.connection
        if failure is not None:
            connection.socket.fail(failure)
        elif error is not None and not connection.socket.is_failed and connection.take(attempt):
            attempt.call.on_attempt_failed(attempt, error)
