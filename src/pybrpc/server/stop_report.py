"""StopReport: says, while a server stops, what it still waits for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from pybrpc.server.unfinished import describe
from pybrpc.transport.event_dispatcher import TimerHandle

if TYPE_CHECKING:
    from pybrpc.server.server_run import ServerRun

logger = logging.getLogger("pybrpc")

FIRST_S = 1.0


class StopReport:
    """Warns a second after the stop began, and when twice the time has passed, and so on.

    In turns of the dispatcher.
    """

    def __init__(self, run: ServerRun) -> None:
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
