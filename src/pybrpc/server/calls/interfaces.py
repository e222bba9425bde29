"""CallConnection and AdmittedCall: what calls and their connection know of each other."""

from __future__ import annotations

from typing import Protocol

from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.authenticator import AuthContext
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.transport.interfaces import TlsInfo
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog


class AdmittedCall(Protocol):
    """A request that was admitted and has no response yet."""

    connection: CallConnection
    entry: MethodEntry
    size_bytes: int
    """Memory that the request holds. It can grow when the body is decompressed."""


class CallConnection:
    """The connection of a call, as the call and its response see it.

    A base class and no Protocol, so that compiled calls read its fields as those of a C struct.
    """

    __slots__ = (
        "auth_context",
        "identity",
        "max_body_size",
        "protocol",
        "socket",
        "tls",
        "unanswered",
    )

    auth_context: AuthContext | None
    """Result of the authenticator; `None` without one."""
    identity: str
    """This side's address in brackets: the prefix of error texts, as in bRPC."""
    max_body_size: int
    """Most bytes of a request, also after it was decompressed."""
    protocol: RpcProtocol
    """Protocol of the peer, known once the first message has arrived."""
    socket: Socket
    tls: TlsInfo | None
    """Result of the TLS handshake."""
    unanswered: Backlog
    """Bytes of the admitted requests; while it is overcrowded, the connection is not read."""

    def is_gone(self) -> bool:
        """Whether nothing can be written to the peer any more."""
        return self.socket.error is not None

    def is_canceled(self) -> bool:
        """Whether the peer is gone, or has shut down its writing side."""
        return self.is_gone()

    def count_error(self) -> None:
        """Count a response that is an error. Any thread."""

    def release_limits(self, calls: list[AdmittedCall]) -> None:
        """Release the concurrency limits of `calls`, whose responses are ready. Any thread.

        Called before the responses are written, so that a client may send its next request at
        once.
        """

    def end(self, calls: list[AdmittedCall]) -> None:
        """End `calls`: their responses are queued, or nobody will read them. Any thread."""

    @property
    def peer(self) -> str:
        return str(self.socket.remote_side or "a peer without address")

    @property
    def state(self) -> str:
        """State in one word, for people: "open" or "gone"."""
        return "gone" if self.is_gone() else "open"
