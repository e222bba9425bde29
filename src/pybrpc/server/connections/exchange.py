"""Exchange: what a connection carries whose protocol is not made of requests and responses.

A protocol has exchanges if it has a method `new_exchange(connection)`. That is called when the
first message of a ServerConnection has come; the messages go to what it returns. An exchange uses
`connection.socket` to write, `hold` for as long as something goes on, and `retire` to end.
"""

from __future__ import annotations

from typing import Any, Protocol

from pybrpc.errors import RpcError


class Exchange(Protocol):
    """One connection of such a protocol. All methods are called in turns; none may block."""

    @property
    def stream_count(self) -> int:
        """Its streams that are not over, for the statistics. Any thread."""

    def on_messages(self, messages: list[Any]) -> None:
        """The messages of one read. What it raises fails the connection."""

    def on_end(self, error: RpcError) -> None:
        """Nothing more comes: EEOF, or the error of what the peer has sent. The connection is
        retired next."""

    def on_failed(self, error: RpcError) -> None:
        """The connection has failed, or was closed. Its holds are notified by themselves."""

    def on_stop(self) -> None:
        """The server stops: end what would go on for ever. The connection is closed once nobody
        holds it, and at the end of the grace. May come more than once."""
