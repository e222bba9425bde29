"""IdleSweep and PartialMessageSweep: recurring checks of all connections of a server.

Each has one timer for all connections. Functions without side effects decide, from the connections
and the time, which connections to close.

**Idle** is a connection on which no request runs, no response waits to be written, and no message
was completed for a while: bytes that never become a message don't keep it alive. It is closed when
two checks in a row have found it idle, and after a last read: a request may have come while the
dispatcher was busy elsewhere.

**Partial messages** are kept until the rest comes, up to max_body_size on each connection, so peers
that begin large ones and go on slowly, or not at all, could fill the memory. A message has
`timeout_s` seconds, and one more for each SLOWEST_BYTES_PER_S bytes received of it: a slow line may
take long for a large message, but not for ever. If all partial messages together hold more than
`limit_bytes`, the slowest ones are given up at once. The count of messages on a connection shows
whether it is still at the same message, so the code that handles messages need not know of this
check. What a layer, such as TLS, has received and not decrypted counts too: half a record never
becomes a message. The head of an HTTP request has HEAD_TIMEOUT_S instead, if that is less: browsers
and proxies send it in one piece.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from pybrpc.rpc.bounded_steps import BoundedSteps
from pybrpc.server.connections.closing import LINGER_S
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.periodic import PeriodicTimer

MAX_GRAIN_S = 1.0
"""Longest time between two checks while something is about to be closed, in seconds."""

SLOWEST_BYTES_PER_S = 16 * 1024

HEAD_TIMEOUT_S = 10.0
"""Time for the head of an HTTP request, in seconds, beside that for its bytes."""

LARGE_BYTES = 64 * 1024
"""Shorter partial messages are never given up for the memory that all hold together."""


class IdleConnections(NamedTuple):
    """Findings of a check for idle connections."""

    to_close: list[ServerConnection]
    """Connections that the check before has found idle too."""
    due: set[ServerConnection]
    """Connections that the next check closes if they are still idle."""
    oldest_active_at: float
    """Time at which the other connections, the longest idle one, were last active."""


def find_idle(
    connections: Iterable[ServerConnection],
    due_before: Collection[ServerConnection],
    timeout_s: float,
    now: float,
) -> IdleConnections:
    """Find the connections that are idle for `timeout_s`."""
    to_close: list[ServerConnection] = []
    due: set[ServerConnection] = set()
    oldest = now
    for connection in connections:
        if connection.is_closing or connection.is_busy:
            continue
        is_idle = connection.active_at + timeout_s <= now
        if is_idle and connection in due_before:
            to_close.append(connection)
            continue
        if is_idle:
            due.add(connection)
        oldest = min(oldest, connection.active_at)
    return IdleConnections(to_close, due, oldest)


class IdleSweep:
    """Closes each connection that has been idle for `timeout_s`, gracefully.

    At most a fifth of that time, or two seconds, late, whichever is less; later if so many are idle
    that it takes more than one turn to close them. All in turns of the dispatcher.
    """

    def __init__(
        self,
        connections: Collection[ServerConnection],
        dispatcher: EventDispatcher,
        timeout_s: float,
    ) -> None:
        self._connections = connections
        self._timeout_s = timeout_s
        self._grain_s = min(MAX_GRAIN_S, timeout_s / 10)
        self._dispatcher = dispatcher
        self._timer = PeriodicTimer(dispatcher, self._on_timer)
        self._due: set[ServerConnection] = set()

    def start(self) -> None:
        """Any thread."""
        self._timer.start(self._timeout_s)

    def end(self) -> None:
        """Any thread."""
        self._timer.stop()

    def _on_timer(self, now: float) -> float:
        connections = list(self._connections)
        for connection in connections:
            if connection.is_busy:
                connection.active_at = now
        found = find_idle(connections, self._due, self._timeout_s, now)
        self._due = found.due
        to_close = found.to_close

        def find() -> list[ServerConnection]:
            taken = to_close[:]
            to_close.clear()
            return taken

        BoundedSteps(self._dispatcher, find, partial(self._close_if_idle, now)).run()
        return max(found.oldest_active_at + self._timeout_s - now, self._grain_s)

    def _close_if_idle(self, found_at: float, connection: ServerConnection) -> None:
        """Close what a check has found idle at `found_at`, unless it has changed since."""
        active_at = connection.active_at
        if connection.is_closing or active_at + self._timeout_s > found_at:
            return
        connection.socket.read_now()
        if connection.active_at == active_at and not (connection.is_busy or connection.is_closing):
            connection.close_gracefully(LINGER_S)

    def __repr__(self) -> str:
        return f"<IdleSweep of {len(self._connections)} connections for {self._timeout_s:g} s>"


class PartialMessage(NamedTuple):
    """The received part of a message, as a check has found it."""

    checked_at: float
    """Time of the check."""
    age_s: float
    """Seconds from the first check that has found it, without those in which this side did not read
    though the peer did its part."""
    messages_read: int
    """Messages that were read before on the connection."""
    size_bytes: int
    """Bytes received."""
    memory_bytes: int
    """Bytes received, and the room allocated for the rest."""
    bytes_written: int
    """Bytes written to the peer so far."""
    is_read: bool
    """Whether this side reads the connection."""
    is_stuck: bool
    """Whether it is not read because the peer takes nothing of what is written to it, or little."""
    is_head: bool
    """Whether it is the head of an HTTP request."""

    def timeout_s(self, message_timeout_s: float) -> float:
        """Time that it has, in seconds, without that for its bytes."""
        return min(message_timeout_s, HEAD_TIMEOUT_S) if self.is_head else message_timeout_s


PartialMessages = Mapping[ServerConnection, PartialMessage]


def find_partial(
    connections: Iterable[ServerConnection], before: PartialMessages, now: float
) -> dict[ServerConnection, PartialMessage]:
    """Find the partial messages. `before` are the findings of the last check."""
    found = {}
    for connection in connections:
        if connection.unfinished_bytes and not connection.is_retired:
            found[connection] = _look_at(connection, before.get(connection), now)
    return found


def _look_at(
    connection: ServerConnection, before: PartialMessage | None, now: float
) -> PartialMessage:
    socket = connection.socket
    messages_read, bytes_written = connection.messages_read, socket.bytes_written
    is_read, is_stuck, age_s = not socket.is_reading_paused, False, 0.0
    if before is not None and before.messages_read == messages_read:
        passed_s, taken = now - before.checked_at, bytes_written - before.bytes_written
        is_slow = taken < passed_s * SLOWEST_BYTES_PER_S
        is_stuck = not is_read and socket.backlog.is_overcrowded and is_slow
        age_s = before.age_s
        if is_stuck or (is_read and before.is_read):
            age_s += passed_s
    return PartialMessage(
        now,
        age_s,
        messages_read,
        connection.unfinished_bytes,
        connection.unfinished_memory_bytes,
        bytes_written,
        is_read,
        is_stuck,
        connection.is_in_head,
    )


def find_late(parts: PartialMessages, timeout_s: float) -> list[ServerConnection]:
    """Find the connections whose partial messages have taken too long."""
    return [
        connection
        for connection, part in parts.items()
        if part.age_s >= part.timeout_s(timeout_s) + part.size_bytes / SLOWEST_BYTES_PER_S
    ]


def find_slowest(
    parts: PartialMessages, limit_bytes: int, grain_s: float
) -> list[ServerConnection]:
    """Find the slowest large partial messages, without which all hold no more than `limit_bytes`.

    Stuck ones come first. A message may be up to `grain_s` older than its `age_s`.
    """

    def speed(connection: ServerConnection) -> tuple[bool, float]:
        part = parts[connection]
        return not part.is_stuck, part.size_bytes / (part.age_s + grain_s)

    held = sum(part.memory_bytes for part in parts.values())
    found = []
    large = [each for each, part in parts.items() if part.memory_bytes >= LARGE_BYTES]
    for connection in sorted(large, key=speed):
        if held <= limit_bytes:
            break
        held -= parts[connection].memory_bytes
        found.append(connection)
    return found


class PartialMessageSweep:
    """Gives up partial messages of a server's connections. In turns, but for `end`."""

    def __init__(
        self,
        connections: Collection[ServerConnection],
        dispatcher: EventDispatcher,
        timeout_s: float | None,
        limit_bytes: int | None,
    ) -> None:
        """`None`: no limit of that kind."""
        self._connections = connections
        self._timeout_s = timeout_s
        self._limit_bytes = limit_bytes
        self._grain_s = min(MAX_GRAIN_S, (timeout_s or MAX_GRAIN_S) / 10)
        self._timer = PeriodicTimer(dispatcher, self._on_timer)
        self._parts: dict[ServerConnection, PartialMessage] = {}
        self._is_over = timeout_s is None and limit_bytes is None

    def note_accepted(self) -> None:
        """There is a connection to check."""
        if not self._is_over and not self._timer.is_running:
            self._timer.start(self._grain_s)

    def end(self) -> None:
        """Any thread."""
        self._is_over = True
        self._timer.stop()

    def _on_timer(self, now: float) -> float | None:
        if self._is_over or not self._connections:
            self._parts.clear()
            return None
        self._parts = find_partial(list(self._connections), self._parts, now)
        if self._timeout_s is not None:
            for connection in find_late(self._parts, self._timeout_s):
                timeout_s = self._parts[connection].timeout_s(self._timeout_s)
                is_shorter = timeout_s < self._timeout_s
                name = "the time for a head" if is_shorter else "message_timeout"
                self._give_up(connection, f"{name}={timeout_s:g}")
        if self._limit_bytes is not None:
            held = sum(part.memory_bytes for part in self._parts.values())
            limit = f"max_unanswered_bytes={self._limit_bytes}"
            for connection in find_slowest(self._parts, self._limit_bytes, self._grain_s):
                self._give_up(connection, f"unfinished messages hold {held} bytes, {limit}")
        return self._grain_s

    def _give_up(self, connection: ServerConnection, reason: str) -> None:
        part = self._parts.pop(connection)
        stuck = ", while the peer read little or nothing" if part.is_stuck else ""
        connection.discard_input(
            f"{part.size_bytes} bytes of a message came and no end of it in {part.age_s:.1f} s"
            f"{stuck}: {reason}"
        )

    def __repr__(self) -> str:
        return f"<PartialMessageSweep of {len(self._parts)} unfinished messages>"
