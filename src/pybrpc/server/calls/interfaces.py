"""CallConnection, AdmittedCall and CallForm: interfaces of calls, and of what they know."""

from __future__ import annotations

from typing import Any, Protocol

from google.protobuf.message import Message

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.authenticator import AuthContext
from pybrpc.rpc.controller import Controller
from pybrpc.server.access_log.access_line import HttpSummary
from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.calls.ordered_replies import OrderedReplies
from pybrpc.streams.table import StreamTable
from pybrpc.transport.interfaces import TlsInfo
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog


class AdmittedCall(Protocol):
    """A request that was admitted and has no response yet."""

    connection: CallConnection


class CallForm(Protocol):
    """How a protocol makes messages of requests and responses of messages that are no bytes of
    protobuf: JSON of HTTP. Any thread."""

    def prepare(self, controller: Controller) -> None:
        """Add to the controller what came beside the message. Must not raise."""

    def parse(self, call: Any, limit_bytes: int) -> Message:
        """The request message; BadRequestError. A body that is compressed may become
        `limit_bytes`."""

    def received_bytes(self, call: Any) -> int:
        """Bytes of the request of `call` that have come: what `call` says, or, of a body that is
        read in parts, those of the parts."""

    def http_summary(self) -> HttpSummary | None:
        """The request as the access log shows it; `None` if it is none of HTTP."""

    def takes_over(self, call: Any, of: Controller, response: object, context: Any) -> bool:
        """Whether the call goes on with `response` of a handler that ran in `context`. Must not
        raise."""

    def pack(self, call: Any, controller: Controller, response: object) -> IOBuf:
        """The bytes of a success. Raises what the caller gets instead."""


class CallConnection:
    """The connection of a call, as the call and its response see it.

    A base class and no Protocol, so that compiled calls read its fields as those of a C struct.
    """

    __slots__ = (
        "async_calls",
        "auth_context",
        "calls",
        "identity",
        "max_body_size",
        "plain_calls",
        "protocol",
        "replies",
        "socket",
        "tls",
        "unanswered",
    )

    async_calls: CallQueue | None
    """Calls that wait for their turn in the loop of async handlers; `None` if there never were
    any."""
    auth_context: AuthContext | None
    """Result of the authenticator; `None` without one."""
    calls: set[Any]
    """Admitted calls whose responses are not queued yet."""
    identity: str
    """This side's address in brackets: the prefix of error texts, as in bRPC."""
    max_body_size: int
    """Most bytes of a request, also after it was decompressed."""
    plain_calls: CallQueue | None
    """Calls that wait for a worker; `None` if there never were any."""
    protocol: RpcProtocol
    """Protocol of the peer, known once the first message has arrived."""
    replies: OrderedReplies | None
    """Where responses wait for earlier ones; `None` if they have ids, and go out in any order."""
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

    def end(self, calls: list[Any], data: IOBuf | None = None) -> None:
        """End `calls`, once each; `data` are the bytes of their responses. Any thread.

        Without `data` nobody will read responses. Never raises, see CallEnd.
        """

    def on_calls_ended(self) -> None:
        """Calls have ended, and their responses are queued; or a hold has. Any thread."""

    def stream_table(self) -> StreamTable:
        """The streams of the connection. Any thread."""
        raise NotImplementedError

    @property
    def peer(self) -> str:
        return str(self.socket.remote_side or "a peer without address")

    @property
    def state(self) -> str:
        """State in one word, for people: "open" or "gone"."""
        return "gone" if self.is_gone() else "open"
