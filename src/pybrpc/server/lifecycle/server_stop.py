"""ServerStop: the graceful stop of a server: it loses no response, and waits for a limited time.

It goes in steps, all in turns of the dispatcher:

    close the acceptor; from now on requests are refused with ELOGOFF
    a connection without running requests: close it gracefully
    the linger after that is over: close it
    after 1 s, 2 s, 4 s, ...: log what the stop still waits for
    the grace is over: log what is given up, close the connections that are left
    no connection is left: end the server
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Protocol

from pybrpc.base.deadline import NEVER
from pybrpc.base.wake_list import StopLatch
from pybrpc.server.connections.closing import LINGER_S, ClosableConnection
from pybrpc.server.values import UnfinishedCall, UnfinishedConnection, describe
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    TimerHandle,
)
from pybrpc.transport.dispatch.periodic import PeriodicTimer
from pybrpc.transport.listening.acceptor import Acceptor

logger = logging.getLogger("pybrpc")

FIRST_REPORT_S = 1.0
"""Time from the beginning of a stop to its first report, in seconds."""


class StoppableServer(Protocol):
    """The server, as its stop sees it."""

    @property
    def acceptor(self) -> Acceptor: ...
    @property
    def connections(self) -> Collection[ClosableConnection]: ...
    @property
    def dispatcher(self) -> EventDispatcher: ...
    @property
    def stopped(self) -> StopLatch: ...

    def unfinished(self) -> list[UnfinishedCall]: ...
    def unfinished_connections(self) -> list[UnfinishedConnection]: ...

    def end(self) -> None:
        """No connection is left."""


class ServerStop:
    """The stop of one running server. It begins with the first `begin`."""

    def __init__(self, server: StoppableServer) -> None:
        self._server = server
        self._report: StopReport | None = None
        self._deadline = NEVER
        self._timer: TimerHandle | None = None
        self._review_is_posted = False

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

    def _begin(self, deadline: float) -> None:
        server = self._server
        if server.stopped.is_set:
            return
        server.acceptor.close()
        if self._report is None:
            self._report = StopReport(server)
            self._report.start()
        for connection in list(server.connections):
            if connection.is_closing:
                connection.close_gracefully(LINGER_S)
        self._review()
        if deadline < self._deadline and not server.stopped.is_set:
            self._end_at(deadline)

    def _end_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = self._server.dispatcher.call_at(deadline, self._on_grace_over)

    def _review(self) -> None:
        """Close the connections on which no call runs any more; end when none is left."""
        self._review_is_posted = False
        server = self._server
        if server.stopped.is_set:
            return
        for connection in list(server.connections):
            if not connection.calls and not connection.is_closing:
                connection.close_gracefully(LINGER_S)
        if not server.connections:
            self._end()

    def _on_grace_over(self) -> None:
        if self._server.stopped.is_set:
            return
        if self._report is not None:
            self._report.give_up()
        self._close_connections()
        # Closing has posted functions: end after them, so that no descriptor is left then.
        self._server.dispatcher.post(self._end)

    def _close_connections(self) -> None:
        for connection in list(self._server.connections):
            connection.socket.close()

    def _end(self) -> None:
        if self._report is not None:
            self._report.end()
        if self._timer is not None:
            self._timer.cancel()
        self._server.end()

    def _end_without_dispatcher(self) -> None:
        """End without a dispatcher, which is closed: nothing can be waited for."""
        self._server.acceptor.abandon()
        self._close_connections()
        self._end()

    def __repr__(self) -> str:
        state = "over" if self._server.stopped.is_set else "begun" if self._report else "not begun"
        return f"<ServerStop {state}>"


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
        """The grace is over."""
        self._warn("gives up")

    def _on_timer(self, now: float) -> float:
        self._warn("still waits for")
        self._after_s *= 2
        return self._started_at + self._after_s - now

    def _warn(self, does: str) -> None:
        server = self._server
        what = describe(server.unfinished(), server.unfinished_connections())
        age_s = time.monotonic() - self._started_at
        where = server.acceptor.endpoint
        logger.warning("the server on %s, stopping for %.1f s, %s %s", where, age_s, does, what)
