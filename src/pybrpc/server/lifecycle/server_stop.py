"""ServerStop: how a RunningServer ends, so that no answer is lost and nobody is waited for too long.

It goes in steps, all in turns of the dispatcher:

    close the acceptor; from now on requests are refused with ELOGOFF
    a connection without running requests: write what is queued, shut writing down, wait for EOF
    the linger after that is over: close it
    after 1 s, 2 s, 4 s, ...: log what is still waited for
    the grace is over: log what is given up, close what is left
    no connection is left: end the run
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from pybrpc.base.deadline import NEVER
from pybrpc.iobuf import IOBuf
from pybrpc.server.connections.server_connection import LINGER_S
from pybrpc.server.values import describe
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, TimerHandle

if TYPE_CHECKING:
    from pybrpc.server.lifecycle.running_server import RunningServer


class ServerStop:
    """Of one run. Begins with the first `begin`."""

    def __init__(self, run: RunningServer) -> None:
        self._run = run
        self._report: StopReport | None = None
        self._deadline = NEVER
        self._timer: TimerHandle | None = None
        self._review_is_posted = False

    def begin(self, deadline: float) -> None:
        """Begin, or bring the end forward to `deadline`. Any thread; never blocks."""
        try:
            self._run.dispatcher.post(lambda: self._begin(deadline))
        except DispatcherClosedError:
            self._end_undriven()

    def review_soon(self) -> None:
        """A call or a connection has ended: see whether that is all. Any thread."""
        if self._review_is_posted or self._run.stopped.is_set:
            return
        self._review_is_posted = True
        try:
            self._run.dispatcher.post(self._review)
        except DispatcherClosedError:
            self._end_undriven()

    def _begin(self, deadline: float) -> None:
        run = self._run
        if run.stopped.is_set:
            return
        run.acceptor.close()
        if self._report is None:
            self._report = StopReport(run)
            self._report.start()
        for connection in list(run.connections):
            if connection.is_closing:
                connection.close_gently(IOBuf(), LINGER_S)
        self._review()
        if deadline < self._deadline and not run.stopped.is_set:
            self._end_at(deadline)

    def _end_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = self._run.dispatcher.call_at(deadline, self._on_grace_over)

    def _review(self) -> None:
        """Close the connections on which nothing runs any more; end when none is left."""
        self._review_is_posted = False
        run = self._run
        if run.stopped.is_set:
            return
        for connection in list(run.connections):
            if not connection.calls and not connection.is_closing:
                connection.close_gently(IOBuf(), LINGER_S)
        if not run.connections:
            self._end()

    def _on_grace_over(self) -> None:
        if self._run.stopped.is_set:
            return
        if self._report is not None:
            self._report.give_up()
        self._close_connections()
        # After what closing has posted, so that no descriptor is left when the stop is over.
        self._run.dispatcher.post(self._end)

    def _close_connections(self) -> None:
        for connection in list(self._run.connections):
            connection.socket.close()

    def _end(self) -> None:
        if self._report is not None:
            self._report.end()
        if self._timer is not None:
            self._timer.cancel()
        self._run.end()

    def _end_undriven(self) -> None:
        """The dispatcher is gone: nothing can be waited for."""
        self._run.acceptor.abandon()
        self._close_connections()
        self._end()

    def __repr__(self) -> str:
        state = "over" if self._run.stopped.is_set else "begun" if self._report else "not begun"
        return f"<ServerStop {state}>"


logger = logging.getLogger("pybrpc")

FIRST_S = 1.0


class StopReport:
    """Warns a second after the stop began, and when twice the time has passed, and so on.

    In turns of the dispatcher.
    """

    def __init__(self, run: RunningServer) -> None:
        self._run = run
        self._started_at = time.monotonic()
        self._after_s = FIRST_S
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        deadline = self._started_at + self._after_s
        self._timer = self._run.dispatcher.call_at(deadline, self._look)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def give_up(self) -> None:
        """The grace is over."""
        self._warn("gives up")

    def _look(self) -> None:
        self._warn("still waits for")
        self._after_s *= 2
        self.start()

    def _warn(self, does: str) -> None:
        run = self._run
        what = describe(run.unfinished(), run.unfinished_connections())
        age_s = time.monotonic() - self._started_at
        where = run.acceptor.endpoint
        logger.warning("the server on %s, stopping for %.1f s, %s %s", where, age_s, does, what)
