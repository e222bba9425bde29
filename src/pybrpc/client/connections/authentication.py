"""Authentication: the credential of one connection, and who carries it.

The first request that is written carries the credential, no other one does. Requests that are sent
before that wait in the write queue as SocketMessages. Their turns come oldest first, one at a
time, with the write right held: the first one that gets its turn has the credential made and is
packed with it. So there is exactly one fight for a connection, the order of the queue decides it,
nobody waits and no lock is taken. A request that was cancelled before its turn has no turn.

What the server thinks of the credential is the answer to that request. After ERPCAUTH no new calls
go over the connection, and if it breaks with others on it, they are told ERPCAUTH too rather than
sent again: a new connection would be refused like this one.

After bRPC's `Socket::FightAuthentication`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.errors import AuthenticationError, ErrorCode, Phase, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.writing.write_request import WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.errors import RpcError
    from pybrpc.protocols.message import RpcRequest
    from pybrpc.protocols.protocol import RpcProtocol
    from pybrpc.rpc.authenticator import Authenticator


class Authentication:
    """What is known of the credential of one connection."""

    __slots__ = ("_authenticator", "_carrier", "_credential", "failure", "is_sent", "refusal")

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._carrier: Attempt | None = None
        self._credential: bytes | None = None
        self.is_sent = False
        """Whether a request that carries it is in its place before all that come now."""
        self.failure: AuthenticationError | None = None
        """Why there is no credential."""
        self.refusal: RpcError | None = None
        """What the server said to it, if that was no."""

    def credential(self) -> bytes:
        """The credential, made by the first call of this. By the holder of the write right.

        Raises the same AuthenticationError again and again if it could not be made.
        """
        if self.failure is None and self._credential is None:
            self._generate()
        if self._credential is None:
            assert self.failure is not None
            raise self.failure.copy()
        return self._credential

    def note_sent(self, carrier: Attempt) -> None:
        """The request of `carrier` has it. By the holder of the write right."""
        self._carrier = carrier
        self.is_sent = True

    def is_refused(self, attempt: Attempt, error: RpcError) -> bool:
        """Whether this answer says that the server does not accept the credential."""
        is_refused = attempt is self._carrier and error.code == ErrorCode.ERPCAUTH
        if is_refused:
            self.refusal = error.copy()
        return is_refused

    def _generate(self) -> None:
        reason: Exception | None = None
        credential: object = None
        try:
            credential = self._authenticator.generate_credential()
        except Exception as raised:
            reason = raised
        if isinstance(credential, bytes):
            self._credential = credential
        else:
            what = repr(reason) if reason is not None else f"{credential!r} is not bytes"
            text = f"Fail to generate a credential: {what}"
            self.failure = AuthenticationError(text, phase=Phase.QUEUED)
            self.failure.__cause__ = reason

    def __repr__(self) -> str:
        if self.failure is not None:
            state = "failed"
        elif self.refusal is not None:
            state = "refused"
        else:
            state = "sent" if self.is_sent else "not sent"
        return f"<Authentication by {self._authenticator!r}, {state}>"


def checked_authenticator(auth: Authenticator | None) -> Authenticator | None:
    """`auth` if a channel can use it, else a TypeError that says what it lacks."""
    if auth is None:
        return None
    if not callable(getattr(auth, "generate_credential", None)):
        raise TypeError(f"auth must have a method generate_credential(), which {auth!r} has not")
    if getattr(auth, "__hash__", None) is None:
        raise TypeError(
            f"{auth!r} can't be hashed: an authenticator that defines == must define __hash__ too, "
            "because channels with equal ones share connections"
        )
    return auth


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
            connection.socket.fail(failure)
        elif error is not None and not connection.socket.is_failed and connection.take(attempt):
            attempt.call.on_attempt_failed(attempt, error)
