"""Attempt: one try of a call over one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pybrpc.errors import Phase

if TYPE_CHECKING:
    from pybrpc.client.calls.call import Call
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.transport.writing.write_request import WriteRequest


class WaitPoint(Protocol):
    """Where a call waits. Whoever takes it out of there may, and must, carry it on or end it."""

    def try_claim(self) -> bool:
        """True for exactly one caller, and only while it waits here. Any thread, never blocks."""


class Attempt:
    """A call that waits for its answer on `connection`, under the name of `correlation_id`.

    The connection fills in the number and `write_request` when it sends it.
    """

    __slots__ = ("call", "connection", "correlation_id", "write_request")

    def __init__(self, call: Call, connection: ClientConnection) -> None:
        self.prepare(call, connection)

    def prepare(self, call: Call, connection: ClientConnection) -> None:
        """The constructor, also of one that was made with `__new__`: that costs less, compiled."""
        self.call = call
        self.connection = connection
        self.correlation_id = 0
        self.write_request: WriteRequest | None = None

    def try_claim(self) -> bool:
        return self.connection.take(self)

    def try_cancel(self) -> bool:
        """Take it out, and don't send what has not been sent yet. True as for `try_claim`."""
        is_taken = self.try_claim()
        if is_taken and self.write_request is not None:
            self.write_request.cancel()
        return is_taken

    def phase(self) -> Phase:
        """How far it has come."""
        request = self.write_request
        if request is None:
            return Phase.QUEUED
        if not self.connection.socket.is_connected:
            return Phase.CONNECT
        return request.phase

    def __repr__(self) -> str:
        return f"<Attempt {self.correlation_id} of {self.call!r}>"
