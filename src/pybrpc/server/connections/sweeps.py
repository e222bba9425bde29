"""IdleSweep: closes connections on which nothing happens, with one timer for all of them."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from pybrpc.iobuf import IOBuf
from pybrpc.server.connections.server_connection import LINGER_S
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher, TimerHandle

if TYPE_CHECKING:
    from pybrpc.server.connections.server_connection import ServerConnection

LONGEST_GRAIN_S = 1.0


class IdleSweep:
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
        return f"<IdleSweep of {len(self._connections)} connections for {self._timeout_s:g} s>"


SLOWEST_BYTES_PER_S = 16 * 1024

LARGE_BYTES = 64 * 1024
"""What a smaller part holds is left to it, however much all hold together."""


class _Unfinished:
    """A part of a message, found in a look."""

    __slots__ = ("began_at", "memory_bytes", "messages_read", "size_bytes")

    def __init__(self, began_at: float, messages_read: int) -> None:
        self.began_at = began_at
        self.messages_read = messages_read
        self.size_bytes = 0
        """What has come."""
        self.memory_bytes = 0
        """That, and the room for what is to come."""


class PartialMessageSweep:
    """Watches the connections of one server. All in turns of the dispatcher, but `end`."""

    def __init__(
        self,
        connections: Collection[ServerConnection],
        dispatcher: EventDispatcher,
        timeout_s: float | None,
        limit_bytes: int | None,
    ) -> None:
        """`None`: no limit of that kind."""
        self._connections = connections
        self._dispatcher = dispatcher
        self._timeout_s = timeout_s
        self._limit_bytes = limit_bytes
        self._grain_s = min(LONGEST_GRAIN_S, (timeout_s or LONGEST_GRAIN_S) / 10)
        self._unfinished: dict[ServerConnection, _Unfinished] = {}
        self._timer: TimerHandle | None = None
        self._is_over = timeout_s is None and limit_bytes is None

    def note_accepted(self) -> None:
        """There is a connection to look at."""
        if self._timer is None and not self._is_over:
            self._look_later()

    def end(self) -> None:
        """Any thread."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        deadline = time.monotonic() + self._grain_s
        self._timer = self._dispatcher.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._is_over or not self._connections:
            self._unfinished.clear()
            return
        now = time.monotonic()
        self._find_unfinished(now)
        self._end_late(now)
        self._end_slowest(now)
        self._look_later()

    def _find_unfinished(self, now: float) -> None:
        before, found = self._unfinished, {}
        for connection in list(self._connections):
            size_bytes = connection.unfinished_bytes
            if not size_bytes or connection.is_ended:
                continue
            part = before.get(connection)
            messages_read = connection.messages_read
            # What waits for us to read on is not late.
            is_held_up = connection.socket.is_reading_paused
            if part is None or part.messages_read != messages_read or is_held_up:
                part = _Unfinished(now, messages_read)
            part.size_bytes = size_bytes
            part.memory_bytes = connection.unfinished_memory_bytes
            found[connection] = part
        self._unfinished = found

    def _end_late(self, now: float) -> None:
        timeout_s = self._timeout_s
        if timeout_s is None:
            return
        for connection, part in list(self._unfinished.items()):
            if now - part.began_at >= timeout_s + part.size_bytes / SLOWEST_BYTES_PER_S:
                self._give_up(connection, now, f"message_timeout={timeout_s:g}")

    def _end_slowest(self, now: float) -> None:
        limit_bytes = self._limit_bytes
        held = sum(part.memory_bytes for part in self._unfinished.values())
        if limit_bytes is None or held <= limit_bytes:
            return
        reason = f"unfinished messages hold {held} bytes, max_unanswered_bytes={limit_bytes}"
        for _, connection in sorted(
            (
                (part.size_bytes / (now - part.began_at + self._grain_s), connection)
                for connection, part in self._unfinished.items()
                if part.memory_bytes >= LARGE_BYTES
            ),
            key=lambda each: each[0],
        ):
            if held <= limit_bytes:
                break
            held -= self._unfinished[connection].memory_bytes
            self._give_up(connection, now, reason)

    def _give_up(self, connection: ServerConnection, now: float, why: str) -> None:
        part = self._unfinished.pop(connection)
        age_s = now - part.began_at
        connection.give_up_reading(
            f"{part.size_bytes} bytes of a message came and no end of it in {age_s:.1f} s: {why}"
        )

    def __repr__(self) -> str:
        return f"<PartialMessageSweep of {len(self._unfinished)} unfinished messages>"
