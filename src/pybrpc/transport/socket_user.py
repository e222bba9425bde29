"""SocketUser: whoever uses a Socket; the client's or the server's side of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pybrpc.errors import RpcError
    from pybrpc.protocols.message import Message
    from pybrpc.transport.socket import Socket


class SocketUser(Protocol):
    """Called by the dispatcher of the socket, one call at a time; must not block."""

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        """All messages that one read completed, in order."""

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        """The socket has failed or was closed; told once. May come from any thread."""
