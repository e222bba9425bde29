"""SocketUser, which gets the events of a Socket, and SocketSetup, the options of a Socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypedDict

from pybrpc.protocols.session import Session
from pybrpc.transport.interfaces import AppConnect, ConnectionLayer
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import ProcessBacklog

if TYPE_CHECKING:
    from pybrpc.errors import RpcError
    from pybrpc.protocols.message import Message
    from pybrpc.transport.socket.socket import Socket

DEFAULT_CONNECT_TIMEOUT_S = 1.0
DEFAULT_HANDSHAKE_TIMEOUT_S = 5.0


class SocketUser(Protocol):
    """Called by the dispatcher of the socket, one call at a time; must not block.

    What a method raises is logged, and fails the socket with EINTERNAL.
    """

    def on_connected(self, socket: Socket) -> None:
        """The connection is established, the handshakes included. Nothing was read yet.

        What was queued meanwhile goes out before what is written here.
        """

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        """All messages that one read completed, in order."""

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        """No more messages will come. `error` is EEOF if the peer has shut its writing side, or a
        ProtocolError if it has sent what makes no sense.

        Return False to fail the socket with `error`. Return True to keep it open for what is still
        to be written to the peer, and close it later: what arrives meanwhile is thrown away, and
        when the peer shuts its writing side this is called again with EEOF.
        """

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        """The socket has failed, with `error`, or was closed. Called once, in a turn, or in any
        thread if the dispatcher is closed."""


class SocketSetup(TypedDict, total=False):
    """Options of `Socket.to` and `Socket.of`.

    user                 gets the messages and the failure; without one nothing is read
    session              cuts the received bytes into messages
    connect_timeout_s    for connecting, with resolving and handshakes; `None` for no limit
    handshake_timeout_s  for the handshakes of an accepted socket; `None` for no limit
    layer                between the messages and the descriptor (TLS); this socket's own
    app_connect          the protocol's handshake before its first message; this socket's own
    pauses_reads_when_overcrowded
                         stop reading while the peer doesn't read what is written to it
    unanswered           the user counts here what it has not dealt with yet; nothing is read while
                         it is overcrowded
    process_backlog      shared with other sockets, counts what is queued in all of them
    is_awaited           nothing arrives but what callers wait for
    """

    user: SocketUser | None
    options: SocketOptions | None
    session: Session | None
    connect_timeout_s: float | None
    handshake_timeout_s: float | None
    layer: ConnectionLayer | None
    app_connect: AppConnect | None
    pauses_reads_when_overcrowded: bool
    unanswered: Backlog | None
    process_backlog: ProcessBacklog | None
    is_awaited: bool
