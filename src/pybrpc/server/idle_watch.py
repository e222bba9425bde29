"""IdleWatch: closes connections on which nothing happens, with one timer for all of them."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from pybrpc.iobuf import IOBuf
from pybrpc.server.server_connection import LINGER_S
from pybrpc.transport.event_dispatcher import EventDispatcher, TimerHandle

if TYPE_CHECKING:
    from pybrpc.server.server_connection import ServerConnection

LONGEST_GRAIN_S = 1.0


class IdleWatch:
    """Closes each connection that has been idle for `timeout_s`, at most a fifth of it or two
    seconds late, whichever is less. All in turns of the dispatcher.

    It closes what it finds idle in two looks: a request may have come while the dispatcher was
    busy elsewhere, and is read between them.

    Idle is a connection on which no request runs, no answer waits to be written, and no message
    was completed: bytes that never become a message don't keep it alive.
    """

    def __init__(
        self,
        connections: Collection[ServerConnection],
        dispatcher: EventDispatcher,
        timeout_s: float,
    ) -> None:
        self._connections = connections
        self._dispatcher = dispatcher
        self._timeout_s = timeout_s
        self._grain_s = min(LONGEST_GRAIN_S, timeout_s / 10)
        self._timer: TimerHandle | None = None
        self._due: set[ServerConnection] = set()

    def start(self) -> None:
        """Any thread."""
        self._look_at(time.monotonic() + self._timeout_s)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, deadline: float) -> None:
        self._timer = self._dispatcher.call_at(deadline, self._look)

    def _look(self) -> None:
        now = idle_since = time.monotonic()
        due_before, self._due = self._due, set()
        for connection in list(self._connections):
            if connection.is_busy:
                connection.active_at = now
            elif connection.is_closing:
                continue
            elif connection.active_at + self._timeout_s > now:
                idle_since = min(idle_since, connection.active_at)
            elif connection in due_before:
                connection.close_gently(IOBuf(), LINGER_S)
            else:
                idle_since = min(idle_since, connection.active_at)
                self._due.add(connection)
        self._look_at(max(idle_since + self._timeout_s, now + self._grain_s))

    def __repr__(self) -> str:
        return f"<IdleWatch of {len(self._connections)} connections for {self._timeout_s:g} s>"
