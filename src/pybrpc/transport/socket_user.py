"""SocketUser: whoever uses a Socket; the client's or the server's side of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pybrpc.errors import RpcError
    from pybrpc.protocols.message import Message
    from pybrpc.transport.socket import Socket


class SocketUser(Protocol):
    """Called by the dispatcher of the socket, one call at a time; must not block."""

    def on_connected(self, socket: Socket) -> None:
        """The connection stands: TCP, and the handshakes if there are any. Before anything is read.

        What was queued meanwhile goes out before what is written here.
        """

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        """All messages that one read completed, in order."""

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        """No more messages will come: the peer has shut its writing side (EEOF), or has sent what
        makes no sense (a ProtocolError).

        False: fail the socket with `error`. True: the user keeps it, for what is still to be
        written to the peer, and closes it later; what comes meanwhile is thrown away, and at the
        end of that it is told EEOF.
        """

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        """The socket has failed or was closed; told once. May come from any thread."""
