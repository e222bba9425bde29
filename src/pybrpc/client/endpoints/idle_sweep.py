"""IdleSweep: closes connections that nobody uses.

One timer looks at all connections of a source now and then, so calls pay nothing for it: who has
no call in flight and has not moved a byte since an earlier look was idle in between. It is first
retired, which keeps new calls away, and closed at the next look: a call that had got it just before
has long been sent, and is waited for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, TimerHandle

if TYPE_CHECKING:
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.client.endpoints.source_base import SourceBase

LOOKS_PER_TIMEOUT = 4
"""So a connection is closed at most half an idle timeout late."""


class IdleSweep:
    """Of one source. Runs while connections stand, in turns of the dispatcher."""

    __slots__ = ("_idle_timeout_s", "_seen", "_source", "_timer")

    def __init__(self, source: SourceBase, idle_timeout_s: float | None) -> None:
        """`None`: it never does anything."""
        self._source = source
        self._idle_timeout_s = idle_timeout_s
        self._seen: dict[ClientConnection, tuple[int, float]] = {}
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        """A connection stands."""
        if self._idle_timeout_s is not None and self._timer is None:
            self._arm(self._idle_timeout_s)

    def close(self) -> None:
        """Any thread."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def after_fork(self) -> None:
        self._timer = None
        self._seen = {}

    def _arm(self, idle_timeout_s: float) -> None:
        due = time.monotonic() + idle_timeout_s / LOOKS_PER_TIMEOUT
        try:
            self._timer = self._source.dispatcher.call_at(due, lambda: self._look(idle_timeout_s))
        except DispatcherClosedError:
            self._timer = None
        if not self._source.is_used:
            self.close()

    def _look(self, idle_timeout_s: float) -> None:
        self._timer = None
        now = time.monotonic()
        standing = [c for c in self._source.connections if _stands(c)]
        before = self._seen
        self._seen = {c: _seen_now(c, before.get(c), now) for c in standing}
        for connection, (_, since) in self._seen.items():
            if connection.is_logged_off:
                connection.log_off()
            elif now - since >= idle_timeout_s:
                self._source.retire(connection)
        if standing:
            self._arm(idle_timeout_s)


def _stands(connection: ClientConnection) -> bool:
    return connection.socket.is_connected and connection.socket.error is None


def _seen_now(
    connection: ClientConnection, before: tuple[int, float] | None, now: float
) -> tuple[int, float]:
    """Bytes moved so far, and since when it is idle."""
    statistics = connection.statistics().socket
    moved = statistics.bytes_read + statistics.bytes_written
    if before is None or before[0] != moved or connection.in_flight:
        return moved, now
    return before
