"""ClientConnection: the client's side of one Socket, whatever protocol it speaks."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pybrpc.errors import ErrorCode, Phase, ProtocolError, RpcError, make_rpc_error
from pybrpc.protocols.message import Message
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket.statistics import SocketStatistics, sum_of_sockets

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.rpc.timeout_queue import TimeoutQueues


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """Counts of one connection of a client so far."""

    in_flight: int
    """Calls that wait for a response now."""
    late_answers: int
    """Responses to calls that had ended already (timed out, cancelled); dropped."""
    unknown_answers: int
    """Responses with a correlation id that no call ever had; dropped."""
    socket: SocketStatistics


def sum_of(parts: list[ConnectionStatistics]) -> ConnectionStatistics | None:
    """The statistics of several connections as one; `None` if there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return ConnectionStatistics(
        sum(part.in_flight for part in parts),
        sum(part.late_answers for part in parts),
        sum(part.unknown_answers for part in parts),
        sum_of_sockets([part.socket for part in parts]),
    )


class ConnectionOwner:
    """Is notified of the events of a connection. The base class does nothing with them."""

    __slots__ = ()

    wants_idle_events = False
    """Whether `on_idle` is called. Not needed if all calls share a connection."""

    def on_connected(self, connection: ClientConnection) -> None:
        """The connection is established. In a turn of the dispatcher."""

    def on_idle(self, connection: ClientConnection, is_clean: bool) -> None:
        """No call waits on it any more. `is_clean`: every request has got its response.

        Called before the call with the last response completes, so that the next call of the same
        caller may get the connection.
        """

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        """The connection has failed or was closed; after this its calls are notified."""


class ClientConnection:
    """Sends attempts of calls, and matches responses to them.

    An attempt waits in the connection from before it is written until exactly one of these takes
    it: the reader with its response, the failure of the socket, its deadline, its cancellation.
    A subclass defines how responses find their attempts.

    Once it is retired (the server stops, or nobody uses it) it takes no new calls, and is closed
    when the last call in flight has ended.
    """

    __slots__ = ("_reports_idle", "is_retired", "owner", "socket", "timeouts")

    def __init__(
        self, socket: Socket, timeouts: TimeoutQueues, owner: ConnectionOwner | None = None
    ) -> None:
        self.socket = socket
        self.timeouts = timeouts
        self.is_retired = False
        self.set_owner(owner)

    def set_owner(self, owner: ConnectionOwner | None) -> None:
        """Notify `owner`, and no earlier owner, from now on."""
        self.owner = owner
        self._reports_idle = owner is not None and owner.wants_idle_events

    def is_usable(self) -> bool:
        """Whether a call may be sent over it."""
        return self.socket.error is None and not self.is_retired

    @property
    def in_flight(self) -> int:
        """Number of attempts that wait for a response."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it now; calls in flight are failed."""
        self.socket.close()

    def retire(self) -> None:
        """Send no new calls over it, and close it when those in flight have ended. Any thread."""
        self.is_retired = True
        self._close_if_done()

    def send(self, attempt: Attempt) -> None:
        """Write one attempt. Raises the RpcError of a socket that refuses; then the attempt does
        not wait here, and the caller must `release` the connection."""
        raise NotImplementedError

    def release(self) -> None:
        """Return it unused to its source."""
        self._note_end(is_clean=True)

    def take(self, attempt: Attempt) -> bool:
        """Remove an attempt whose response is not needed. True for exactly one caller."""
        is_taken = self._take(attempt)
        if is_taken:
            self._note_end(is_clean=False)
        return is_taken

    def on_connected(self, socket: Socket) -> None:
        if self.owner is not None:
            self.owner.on_connected(self)

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        """The peer sends nothing more, so close the connection."""
        return False

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        self._on_messages(messages)
        if self.is_retired:
            self._close_if_done()

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        if self.owner is not None:
            self.owner.on_failed(self, error)
        for attempt in self._take_all():
            attempt.call.on_attempt_failed(attempt, error)

    def statistics(self) -> ConnectionStatistics:
        raise NotImplementedError

    def _take(self, attempt: Attempt) -> bool:
        raise NotImplementedError

    def _take_all(self) -> list[Attempt]:
        """Remove all attempts, after the failure of the socket."""
        raise NotImplementedError

    def _on_messages(self, messages: list[Message]) -> None:
        """Remove each attempt that has its response, `_note_answer`, and notify its call."""
        raise NotImplementedError

    def _note_answer(self) -> None:
        if self._reports_idle:
            self._note_end(is_clean=True)

    def _note_end(self, is_clean: bool) -> None:
        """Called once for each attempt that was removed while the socket had not failed."""
        if self.in_flight:
            return
        self._close_if_done()
        if self._reports_idle and self.owner is not None:
            self.owner.on_idle(self, is_clean)

    def _close_if_done(self) -> None:
        """Close a retired connection without calls. A call that races with this close fails and is
        retried elsewhere."""
        if self.is_retired and not self.in_flight:
            text = f"{self.socket.description} was closed by this side: it was retired"
            peer = str(self.socket.remote_side)
            error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING, peer=peer)
            self.socket.fail(error)

    def __repr__(self) -> str:
        state = ", retired" if self.is_retired else ""
        return f"<{type(self).__name__} {self.in_flight} calls in flight{state} on {self.socket!r}>"


def protocol_error(socket: Socket, text: str) -> ProtocolError:
    """The error for a peer that broke the protocol."""
    peer = str(socket.remote_side)
    return ProtocolError(text, phase=Phase.WAITING, peer=peer, is_remote=True)
