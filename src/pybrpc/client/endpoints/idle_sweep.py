"""IdleSweep: closes connections that nobody uses.

A timer checks all connections of a source at intervals, so calls pay nothing for it. A connection
that has no call in flight and has not moved a byte since an earlier check was idle in between. It
is first retired, so that no new call gets it, and closed at the next check: a call that got the
connection just before was sent long ago, and is awaited.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pybrpc.transport.dispatch.periodic import PeriodicTimer

if TYPE_CHECKING:
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

CHECKS_PER_TIMEOUT = 4
"""With 4 checks, a connection is closed at most half an idle timeout late."""


class SweptSource(Protocol):
    """A source of connections, as its IdleSweep sees it."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher that polls the connections."""

    @property
    def connections(self) -> list[ClientConnection]:
        """The connections that it holds now."""

    @property
    def is_used(self) -> bool:
        """Whether a channel uses it."""

    def retire(self, connection: ClientConnection) -> None:
        """Give an idle connection to no call any more, and close it soon. In a turn."""


class Traffic(NamedTuple):
    """The result of one check of a connection."""

    moved_bytes: int
    idle_since: float
    """When it was first seen without a call and with this number of bytes, monotonic seconds."""


TrafficSeen = dict["ClientConnection", Traffic]


class IdleSweep:
    """The sweep of one source. Runs while connections are established, in turns of the
    dispatcher."""

    __slots__ = ("_idle_timeout_s", "_seen", "_source", "_timer")

    def __init__(self, source: SweptSource, idle_timeout_s: float | None) -> None:
        """`idle_timeout_s` `None`: connections are never idle for too long."""
        self._source = source
        self._idle_timeout_s = idle_timeout_s
        self._seen: TrafficSeen = {}
        self._timer: PeriodicTimer | None = None

    def start(self) -> None:
        """A connection is established. In a turn."""
        if self._idle_timeout_s is None or self._timer is not None:
            return
        timer = self._timer = PeriodicTimer(self._source.dispatcher, self._check)
        timer.start(self._idle_timeout_s / CHECKS_PER_TIMEOUT)
        if not self._source.is_used or not timer.is_running:
            self.close()

    def close(self) -> None:
        """Stop. Any thread."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()

    def after_fork(self) -> None:
        self._timer = None
        self._seen = {}

    def _check(self, now: float) -> float | None:
        assert self._idle_timeout_s is not None
        self._seen = look(self._source.connections, self._seen, now)
        for connection in list(self._seen):
            if connection.is_retired:
                connection.retire()  # again: this closes it once no call is in flight
        for connection in idle_connections(self._seen, now - self._idle_timeout_s):
            self._source.retire(connection)
        if self._seen and self._source.is_used:
            return self._idle_timeout_s / CHECKS_PER_TIMEOUT
        self._timer = None
        return None


def look(connections: Iterable[ClientConnection], before: TrafficSeen, now: float) -> TrafficSeen:
    """The traffic of those connections that are established, given what was seen before."""
    seen: TrafficSeen = {}
    for connection in connections:
        if connection.socket.is_connected and connection.socket.error is None:
            statistics = connection.statistics().socket
            moved_bytes = statistics.bytes_read + statistics.bytes_written
            earlier = before.get(connection)
            if earlier is None or earlier.moved_bytes != moved_bytes or connection.is_held():
                earlier = Traffic(moved_bytes, now)
            seen[connection] = earlier
    return seen


def idle_connections(seen: TrafficSeen, since: float) -> list[ClientConnection]:
    """Connections that have been idle since `since` or longer, and are not retired yet."""
    return [
        connection
        for connection, traffic in seen.items()
        if traffic.idle_since <= since and not connection.is_retired
    ]
