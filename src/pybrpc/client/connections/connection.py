"""ClientConnection: the client's side of one Socket, whatever protocol it speaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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
    """What one connection of a client has done so far."""

    in_flight: int
    """Calls that wait for an answer now."""
    late_answers: int
    """Answers to calls that had ended already (timed out, cancelled); dropped."""
    unknown_answers: int
    """Answers with a correlation id that no call ever had; dropped."""
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
    """Who wants to know how a connection fares. The base does nothing with it."""

    __slots__ = ()

    wants_idle_events = False
    """Whether `on_idle` is called; if all calls share a connection nobody needs to know."""

    def on_connected(self, connection: ClientConnection) -> None:
        """It stands. In a turn of the dispatcher."""

    def on_idle(self, connection: ClientConnection, is_clean: bool) -> None:
        """No call waits on it any more. `is_clean`: every request has had its answer.

        With an answer before the call is told, so that its next call may have the connection.
        """

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        """It has failed or was closed; its calls will be told after this."""


class ClientConnection:
    """Sends attempts of calls, and hands answers to those who wait.

    An attempt waits in here from before it is written until somebody takes it out: the reader with
    its answer, the failure of the socket, its deadline, or its cancellation. Whoever takes it out
    speaks for it, so each is told once. A subclass says how answers find their attempts.

    Once logged off (the server stops) it takes no new calls, and goes when the last one has ended.
    """

    __slots__ = ("_reports_idle", "is_logged_off", "owner", "socket", "timeouts")

    def __init__(
        self, socket: Socket, timeouts: TimeoutQueues, owner: ConnectionOwner | None = None
    ) -> None:
        self.socket = socket
        self.timeouts = timeouts
        self.is_logged_off = False
        self.set_owner(owner)

    def set_owner(self, owner: ConnectionOwner | None) -> None:
        """Say who is told how it fares from now on."""
        self.owner = owner
        self._reports_idle = owner is not None and owner.wants_idle_events

    @property
    def is_usable(self) -> bool:
        """Whether a call may be sent over it."""
        return self.takes_calls()

    def takes_calls(self) -> bool:
        """`is_usable`, for those who ask with every call."""
        return self.socket.error is None and not self.is_logged_off

    @property
    def in_flight(self) -> int:
        """Attempts that wait for an answer."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it now; calls in flight are failed."""
        self.socket.close()

    def log_off(self) -> None:
        """Send no new calls over it, and close it when those in flight have ended. Any thread."""
        self.is_logged_off = True
        self._close_if_done()

    def send(self, attempt: Attempt) -> None:
        """Write one attempt. Raises what the socket refuses; then it is not pending, and who got
        the connection for it gives that back."""
        raise NotImplementedError

    def release(self) -> None:
        """Who got it from a ConnectionSource sends nothing over it."""
        self._note_end(is_clean=True)

    def take(self, attempt: Attempt) -> bool:
        """Take an attempt out whose answer nobody wants any more; True for the one who may."""
        is_taken = self._take(attempt)
        if is_taken:
            self._note_end(is_clean=False)
        return is_taken

    def on_connected(self, socket: Socket) -> None:
        if self.owner is not None:
            self.owner.on_connected(self)

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        """No answers will come any more."""
        return False

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        self._on_messages(messages)
        if self.is_logged_off:
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
        """Take out all that waits, after the failure of the socket."""
        raise NotImplementedError

    def _on_messages(self, messages: list[Message]) -> None:
        """Take out the attempts that are answered, and for each: `_note_answer`, tell the call."""
        raise NotImplementedError

    def _note_answer(self) -> None:
        if self._reports_idle:
            self._note_end(is_clean=True)

    def _note_end(self, is_clean: bool) -> None:
        """Once for each attempt that was taken out while the socket had not failed."""
        if self.in_flight:
            return
        self._close_if_done()
        if self._reports_idle and self.owner is not None:
            self.owner.on_idle(self, is_clean)

    def _close_if_done(self) -> None:
        """A call that is just being sent over it is sent again over another one."""
        if self.is_logged_off and not self.in_flight:
            text = f"{self.socket.description} was closed by this side: it was to take no new calls"
            peer = str(self.socket.remote_side)
            error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING, peer=peer)
            self.socket.fail(error)

    def __repr__(self) -> str:
        state = ", logged off" if self.is_logged_off else ""
        return f"<{type(self).__name__} {self.in_flight} calls in flight{state} on {self.socket!r}>"


MakeConnection = Callable[[Socket], ClientConnection]


def protocol_error(socket: Socket, text: str) -> ProtocolError:
    """The peer of a client sent what makes no sense."""
    peer = str(socket.remote_side)
    return ProtocolError(text, phase=Phase.WAITING, peer=peer, is_remote=True)
