"""ServerStop: the graceful stop of a server: it loses no response, and waits for a limited time.

It goes in steps, all in turns of the dispatcher:

    close the acceptor; from now on requests are refused with ELOGOFF
    call the application's functions for the beginning, which may end streams; wait for none here
    connections with an Exchange: it ends what would go on for ever
    a connection that nobody holds, neither a running request nor a stream: close it gracefully;
    those to the internal port stay, since their pages say how the stop goes
    only connections to the internal port are left: close those too that nobody holds
    the linger after that is over: close it
    after 1 s, 2 s, 4 s, ...: log what the stop still waits for
    the grace is over: log what is given up, close the connections that are left, cancel the async
    handlers that still run, and give them CLEANUP_S
    no connection is left, and no handler of a client that is gone: end the server, whose functions
    for the end may still take their time

Many connections are closed in bounded steps of several turns (ClosingSteps): other servers and
calls of the dispatcher go on meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from typing import Protocol

from pybrpc.base.deadline import NEVER
from pybrpc.base.guard import SERVER, run_guarded
from pybrpc.base.wake_list import StopLatch
from pybrpc.rpc.bounded_steps import BoundedSteps
from pybrpc.server.calls.admission import Admission
from pybrpc.server.connections.closing import LINGER_S
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.running.handler_loop import HandlerLoop
from pybrpc.server.values import UnfinishedCall, UnfinishedConnection, describe
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    TimerHandle,
)
from pybrpc.transport.dispatch.periodic import PeriodicTimer
from pybrpc.transport.listening.acceptors import Acceptors
from pybrpc.transport.listening.memory_acceptor import MemoryAcceptor

FIRST_REPORT_S = 1.0
"""Time from the beginning of a stop to its first report, in seconds."""

CLEANUP_S = 1.0
"""Seconds that async handlers have to clean up after the end of the grace has cancelled them."""


class StoppableServer(Protocol):
    """The server, as its stop sees it."""

    @property
    def acceptor(self) -> Acceptors | MemoryAcceptor: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def connections(self) -> Collection[ServerConnection]: ...
    @property
    def dispatcher(self) -> EventDispatcher: ...
    @property
    def handler_loop(self) -> HandlerLoop | None: ...
    @property
    def stopped(self) -> StopLatch: ...

    def unfinished(self) -> list[UnfinishedCall]: ...
    def unfinished_connections(self) -> list[UnfinishedConnection]: ...

    def on_stop_begun(self) -> None:
        """The stop has begun. Called again if its end is brought forward."""

    def end(self) -> None:
        """Nothing is waited for any more. Called again if the end of the stop is brought
        forward."""


class ServerStop:
    """The stop of one running server. It begins with the first `begin`."""

    def __init__(self, server: StoppableServer) -> None:
        self._server = server
        self._report: StopReport | None = None
        self._deadline = NEVER
        self._timer: TimerHandle | None = None
        self._review_is_posted = False
        self._is_reviewing = False
        self._has_ended = False
        self.is_grace_over = False
        """Whether connections are closed although calls run on them."""

    def begin(self, deadline: float) -> None:
        """Begin, or bring the end forward to `deadline`. Any thread; never blocks."""
        try:
            self._server.dispatcher.post(lambda: self._begin(deadline))
        except DispatcherClosedError:
            self._end_without_dispatcher()

    def review_soon(self) -> None:
        """A call or a connection has ended: review the stop in a turn. Any thread."""
        if self._review_is_posted or self._server.stopped.is_set:
            return
        self._review_is_posted = True
        try:
            self._server.dispatcher.post(self._review)
        except DispatcherClosedError:
            self._end_without_dispatcher()

    def close_late_connections(self) -> None:
        """Close the connections to the internal port that came while the functions of the
        application for the end ran. In a turn, or without a dispatcher."""
        for connection in list(self._server.connections):
            run_guarded(_close, connection, what="closing a connection", log=SERVER)

    def _begin(self, deadline: float) -> None:
        server = self._server
        if server.stopped.is_set:
            return
        if self._has_ended:
            server.end()
            return
        # First, so that the stop has an end whatever raises below.
        if deadline < self._deadline:
            self._end_at(deadline)
        server.acceptor.close()
        if self._report is None:
            self._report = StopReport(server)
            self._report.start()
        run_guarded(server.on_stop_begun, what="the beginning of a stop", log=SERVER)
        ClosingSteps(server, _can_be_told, _tell, self._review).run()

    def _end_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = self._server.dispatcher.call_at(deadline, self._on_grace_over)

    def _review(self) -> None:
        """Close the connections that nobody holds any more: first those to the port of the server.
        End when none is left."""
        self._review_is_posted = False
        server = self._server
        if server.stopped.is_set or self._has_ended or self._is_reviewing:
            return
        self._is_reviewing = True
        try:
            ClosingSteps(server, _is_finished, _close_gracefully, self._on_finished).run()
        except BaseException:
            self._is_reviewing = False  # a signal handler raised: the next end of a call reviews
            raise

    def _on_finished(self) -> None:
        server = self._server
        if all(each.is_internal for each in list(server.connections)):
            ClosingSteps(server, _is_unheld, _close_gracefully, self._on_reviewed).run()
        else:
            self._is_reviewing = False

    def _on_reviewed(self) -> None:
        self._is_reviewing = False
        if not self._server.connections and not self._has_handlers():
            self._end()

    def _has_handlers(self) -> bool:
        """Whether handlers run that the stop waits for, of clients that are gone too. Plain ones
        can't be cancelled: after the grace nobody waits for them."""
        admission = self._server.admission
        return admission.has_async_calls() if self.is_grace_over else bool(admission.running)

    def _on_grace_over(self) -> None:
        if self._server.stopped.is_set or self._has_ended:
            return
        try:
            if self._report is not None:
                self._report.give_up()
        finally:
            self._close_connections()

    def _close_connections(self) -> None:
        """Close all, then end."""
        self.is_grace_over = True
        ClosingSteps(self._server, _is_left, _close, self._on_closed).run()

    def _on_closed(self) -> None:
        try:
            # Closing has posted functions: end after them, so that no descriptor is left then.
            self._server.dispatcher.post(self._end_soon)
        except DispatcherClosedError:
            self._end()

    def _end_soon(self) -> None:
        """Cancel the async handlers that still run. End when they have ended, or had time to."""
        server = self._server
        if server.stopped.is_set or self._has_ended:
            return
        if server.handler_loop is not None and self._has_handlers():
            server.handler_loop.cancel_waiting()
            with contextlib.suppress(DispatcherClosedError):
                self._timer = server.dispatcher.call_at(time.monotonic() + CLEANUP_S, self._end)
                return
        self._end()

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._report is not None:
            self._report.end()
        if self._timer is not None:
            self._timer.cancel()
        self._server.end()

    def _end_without_dispatcher(self) -> None:
        """End without a dispatcher, which is closed: nothing can be waited for."""
        self._server.acceptor.abandon()
        run_guarded(self._server.on_stop_begun, what="the beginning of a stop", log=SERVER)
        self._close_connections()

    def __repr__(self) -> str:
        state = "over" if self._server.stopped.is_set else "begun" if self._report else "not begun"
        return f"<ServerStop {state}>"


class ClosingSteps:
    """Closes those connections of a server that are due, a bounded part of them in each turn.

    Each is tried once, those too that become due meanwhile.
    """

    def __init__(
        self,
        server: StoppableServer,
        is_due: Callable[[ServerConnection], bool],
        close: Callable[[ServerConnection], object],
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called when no connection is due any more. All in turns, unless the
        dispatcher is closed."""
        self._server = server
        self._is_due = is_due
        self._close = close
        self._on_end = on_end
        self._tried: set[ServerConnection] = set()

    def run(self) -> None:
        BoundedSteps(self._server.dispatcher, self._find, self._try_close).run()

    def _find(self) -> list[ServerConnection]:
        tried, is_due = self._tried, self._is_due
        found = [each for each in list(self._server.connections) if each not in tried]
        found = [each for each in found if is_due(each)]
        tried.update(found)
        if not found:
            self._on_end()
        return found

    def _try_close(self, connection: ServerConnection) -> None:
        if self._is_due(connection):
            run_guarded(self._close, connection, what="closing a connection", log=SERVER)

    def __repr__(self) -> str:
        return f"<ClosingSteps, {len(self._tried)} tried>"


def _is_left(connection: ServerConnection) -> bool:
    return True


def _can_be_told(connection: ServerConnection) -> bool:
    return connection.is_closing or connection.exchange is not None


def _tell(connection: ServerConnection) -> None:
    """The stop begins."""
    if connection.is_closing:
        connection.close_gracefully(LINGER_S)
    elif connection.exchange is not None:
        connection.exchange.on_stop()


def _is_finished(connection: ServerConnection) -> bool:
    """Whether no more is to come on it, while pages may still be asked for."""
    return (connection.is_retired or not connection.is_internal) and _is_unheld(connection)


def _is_unheld(connection: ServerConnection) -> bool:
    return not connection.is_closing and not connection.is_held()


def _close(connection: ServerConnection) -> None:
    connection.socket.close()


def _close_gracefully(connection: ServerConnection) -> None:
    connection.close_gracefully(LINGER_S)


class StopReport:
    """Warns a second after the stop began, and again each time that its age has doubled."""

    def __init__(self, server: StoppableServer) -> None:
        self._server = server
        self._started_at = time.monotonic()
        self._after_s = FIRST_REPORT_S
        self._timer = PeriodicTimer(server.dispatcher, self._on_timer)

    def start(self) -> None:
        self._timer.start(FIRST_REPORT_S)

    def end(self) -> None:
        self._timer.stop()

    def give_up(self) -> None:
        """The grace is over. Without requests and busy connections nothing is given up."""
        calls = self._server.unfinished()
        busy = [each for each in self._server.unfinished_connections() if each.is_busy]
        if calls or busy:
            self._warn("gives up", calls, busy)

    def _on_timer(self, now: float) -> float:
        server = self._server
        self._warn("still waits for", server.unfinished(), server.unfinished_connections())
        self._after_s *= 2
        return self._started_at + self._after_s - now

    def _warn(
        self, does: str, calls: list[UnfinishedCall], connections: list[UnfinishedConnection]
    ) -> None:
        what = describe(calls, connections)
        age_s = time.monotonic() - self._started_at
        where = self._server.acceptor.endpoint
        SERVER.warning("the server on %s, stopping for %.1f s, %s %s", where, age_s, does, what)
