"""ClientConnection: the client's side of one Socket, whatever protocol it speaks."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.guard import CLIENT
from pybrpc.errors import ErrorCode, Phase, ProtocolError, RpcError, make_rpc_error
from pybrpc.protocols.message import Message
from pybrpc.rpc.bounded_steps import BoundedSteps
from pybrpc.rpc.holds import ConnectionUser, Holds, begin_hold, end_hold, fail_holds
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket.statistics import SocketStatistics, sum_of_sockets

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.client.calls.attempt_end import AttemptListener
    from pybrpc.rpc.method import Method
    from pybrpc.rpc.timeout_queue import TimeoutQueues
    from pybrpc.transport.dispatch.direct_dispatcher import DirectDispatcher


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
    streams: int = 0
    """Streams that are not over yet."""


def sum_of(parts: list[ConnectionStatistics]) -> ConnectionStatistics | None:
    """The statistics of several connections as one; `None` if there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return ConnectionStatistics(
        sum(part.in_flight for part in parts),
        sum(part.late_answers for part in parts),
        sum(part.unknown_answers for part in parts),
        sum_of_sockets([part.socket for part in parts]),
        sum(part.streams for part in parts),
    )


class PoolOfConnections(Protocol):
    """Idle connections, as a connection sees them."""

    def put_back(self, connection: ClientConnection) -> None:
        """It is idle and clean again. Any thread."""


class ConnectionOwner:
    """Is notified of the events of a connection. The base class does nothing with them."""

    __slots__ = ()

    pool: PoolOfConnections | None = None
    """Where a connection is put back that is idle and clean, instead of `on_idle`."""

    wants_idle_events = False
    """Whether `on_idle` is called. Not needed if all calls share a connection."""

    attempt_listeners: tuple[AttemptListener, ...] | None = None
    """The listeners to the ends of attempts over its connections; `None` if there are none."""

    def on_connected(self, connection: ClientConnection) -> None:
        """The connection is established. In a turn of the dispatcher."""

    def on_idle(self, connection: ClientConnection, is_clean: bool) -> None:
        """Nobody holds it any more. `is_clean`: every request has got its response.

        Called before the call with the last response completes, so that the next call of the same
        caller may get the connection.
        """

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        """The connection has failed or was closed; after this its users are notified."""


class ClientConnection:
    """Sends attempts of calls, and matches responses to them.

    An attempt waits in the connection from before it is written until exactly one of these takes
    it: the reader with its response, the failure of the socket, its deadline, its cancellation.
    A subclass defines how responses find their attempts.

    The connection is held as long as an attempt waits in it, or a ConnectionUser holds it. Its
    owner gives it to somebody else, finds it idle, or closes it for want of use only when nobody
    holds it. Once it is retired (the server stops, or nobody uses it) it takes no new calls, and is
    closed when the last hold ends.

    When the socket fails, its users are notified and its attempts end in bounded steps. An attempt
    stays in the connection until its step: its deadline may still take it.
    """

    __slots__ = (
        "_holds",
        "_is_clean",
        "_pool",
        "_reports_idle",
        "_uses",
        "attempt_listeners",
        "direct",
        "is_retired",
        "owner",
        "socket",
        "timeouts",
    )

    def __init__(
        self, socket: Socket, timeouts: TimeoutQueues, owner: ConnectionOwner | None = None
    ) -> None:
        self.socket = socket
        self.direct: DirectDispatcher | None = None
        """By which a caller reads it that has it for itself; `None`: no caller may."""
        self.timeouts = timeouts
        self.is_retired = False
        self._holds: Holds = {}
        self._uses = atomic_counter()
        """Uses that have not ended, if it reports that it is idle: by the call that it was given
        to, and by holds. The thread that ends the last one reports. If two that end at once looked
        at `is_held` instead, both might report, the slower one when it is in use again."""
        self._is_clean = True
        """Whether all uses so far have ended cleanly, since it was idle."""
        self.set_owner(owner)

    def set_owner(self, owner: ConnectionOwner | None) -> None:
        """Notify `owner`, and no earlier owner, from now on."""
        self.owner = owner
        self._reports_idle = owner is not None and owner.wants_idle_events
        self.attempt_listeners = None if owner is None else owner.attempt_listeners
        self._pool = None if owner is None else owner.pool

    def is_usable(self) -> bool:
        """Whether a call may be sent over it."""
        return self.socket.error is None and not self.is_retired

    # --- who uses it ---

    @property
    def in_flight(self) -> int:
        """Number of attempts that wait for a response."""
        raise NotImplementedError

    def is_held(self) -> bool:
        """Whether an attempt or a ConnectionUser uses it."""
        return self.in_flight > 0 or bool(self._holds)

    def hold(self, user: ConnectionUser) -> None:
        """Have `user` use it until `release_hold`, or until it fails.

        Raises the RpcError of a socket that has failed; then `user` does not hold it. RuntimeError
        if `user` holds it already. Any thread.
        """
        self._uses.increment_and_get(1)
        try:
            if self.direct is not None:
                self.direct.require_reader()
            begin_hold(self._holds, user, self, self.socket)
        except BaseException:
            self._uses.decrement_and_get(1)
            raise

    def begin_use(self) -> None:
        """It is given to a call, which sends one attempt, or calls `release`."""
        self._uses.increment_and_get(1)

    def release_hold(self, user: ConnectionUser, is_clean: bool = True) -> None:
        """End a hold. `is_clean`: the peer will send nothing more for it.

        RuntimeError if `user` does not hold it. Nothing happens if it has failed. Any thread.
        """
        if end_hold(self._holds, user, self, self.socket):
            self._note_end(is_clean)

    # --- for calls ---

    def as_sent(self, method: Method) -> Method:
        """`method`, with the bodies that this connection sends."""
        return method

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

    # --- its end ---

    def close(self) -> None:
        """Close it now; calls in flight are failed."""
        self.socket.close()

    def retire(self) -> None:
        """Send no new calls over it, and close it when nobody holds it any more. Any thread."""
        self.is_retired = True
        self._close_if_done()

    # --- as a SocketUser ---

    def on_connected(self, socket: Socket) -> None:
        if self.owner is not None:
            self.owner.on_connected(self)

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        """The peer sends nothing more, so close the connection."""
        return False

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        try:
            self._on_messages(messages)
        finally:
            if self.is_retired:
                self._close_if_done()

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        try:
            if self.owner is not None:
                self.owner.on_failed(self, error)
        finally:
            self._end_users(error)

    def statistics(self) -> ConnectionStatistics:
        raise NotImplementedError

    # --- different in each protocol ---

    def _take(self, attempt: Attempt) -> bool:
        raise NotImplementedError

    def _attempts(self) -> list[Attempt]:
        """The attempts that wait now, oldest first."""
        raise NotImplementedError

    def _on_messages(self, messages: list[Message]) -> None:
        """Remove each attempt that has its response, `_note_answer`, and notify its call.

        Whatever is raised by one of them, the others are handled.
        """
        raise NotImplementedError

    # --- inside ---

    def _end_users(self, error: RpcError) -> None:
        """The socket has failed: notify its users, and end its attempts, in bounded steps.

        Nobody is added after the last look: a thread that adds an attempt or a hold looks at the
        error of the socket afterwards ("store, then load", see base.atomic).
        """

        def fail(attempt: Attempt) -> None:
            if self._take(attempt):
                try:
                    attempt.call.on_attempt_failed(attempt, error)
                except BaseException as reason:
                    attempt.call.on_raised(attempt, reason)
                    raise

        dispatcher = self.socket.dispatcher
        try:
            fail_holds(self._holds, self, self.socket, error)
        finally:
            if self.in_flight:
                BoundedSteps(dispatcher, self._attempts, fail).run()

    def _note_answer(self) -> None:
        if self._reports_idle:
            self._note_end(is_clean=True)

    def _note_end(self, is_clean: bool) -> None:
        """Called once for each attempt, and for each hold, that ended while the socket had not
        failed."""
        if not self._reports_idle:
            if not self.is_held():
                self._close_if_done()
            return
        if not is_clean:
            self._is_clean = False
        if self._uses.decrement_and_get(1) > 0:
            return
        is_clean, self._is_clean = self._is_clean, True
        if self.is_retired:
            self._close_if_done()
        if self._pool is not None and is_clean:
            self._pool.put_back(self)
        elif self.owner is not None:
            self.owner.on_idle(self, is_clean)

    def _close_if_done(self) -> None:
        """Close a retired connection that nobody holds. A call that races with this close fails and
        is retried elsewhere."""
        if self.is_retired and not self.is_held():
            text = f"{self.socket.description} was closed by this side: it was retired"
            peer = str(self.socket.remote_side)
            error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING, peer=peer)
            self.socket.fail(error)

    def __repr__(self) -> str:
        state = ", retired" if self.is_retired else ""
        holds = f", held by {len(self._holds)} more" if self._holds else ""
        return (
            f"<{type(self).__name__} {self.in_flight} calls in flight{holds}{state} "
            f"on {self.socket!r}>"
        )


def protocol_error(socket: Socket, text: str) -> ProtocolError:
    """The error for a peer that broke the protocol."""
    peer = str(socket.remote_side)
    return ProtocolError(text, phase=Phase.WAITING, peer=peer, is_remote=True)


def raise_in_turn(dispatcher: EventDispatcher, error: BaseException) -> None:
    """Have `dispatcher` raise what was caught in a turn, as a function of its own.

    So it is logged, or reaches the caller in whose turn it came, and the socket does not fail.
    """
    try:
        dispatcher.post(partial(_raise, error))
    except DispatcherClosedError:
        CLIENT.raised("a response could not be handled", error=error)


def _raise(error: BaseException) -> NoReturn:
    raise error
