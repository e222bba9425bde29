"""ConnectionPool: which connections of a pool are idle, and which call each other one is for.

A connection is taken by removing it from `idle`, one step of a dict: the one used last first, so
that surplus ones stay unused until an idle timeout closes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sized

from pybrpc.client.calls.interfaces import WaitingCall
from pybrpc.client.connections.connection import ClientConnection


class ConnectionPool:
    """Any thread; never blocks."""

    __slots__ = ("_on_more", "_waiting", "_watchers", "idle", "used")

    def __init__(self, waiting: Sized, watchers: Sized, on_more: Callable[[], None]) -> None:
        """`waiting`: the calls that wait for a connection; while there are any, `take` gives none.
        `on_more` is called after a connection has become idle, if there are any, or `watchers`."""
        self.idle: dict[ClientConnection, None] = {}
        self.used: dict[ClientConnection, WaitingCall | None] = {}
        self._waiting = waiting
        self._watchers = watchers
        self._on_more = on_more

    def take(self, call: WaitingCall | None) -> ClientConnection | None:
        """An idle connection for `call`; `None` if there is none, or if others wait."""
        return self.take_now(call) if not len(self._waiting) else None

    def take_now(self, call: WaitingCall | None) -> ClientConnection | None:
        """As `take`, also before calls that wait."""
        idle = self.idle
        while len(idle):
            try:
                connection: ClientConnection = idle.popitem()[0]
            except KeyError:
                return None  # another thread was faster
            if connection.is_usable():
                connection.begin_use()
                self.used[connection] = call
                return connection
        return None

    def put(self, connection: ClientConnection) -> None:
        """Make a connection idle that no call uses."""
        self.idle[connection] = None
        if not connection.is_usable():
            self.idle.pop(connection, None)
        elif len(self._watchers) or len(self._waiting):
            self._on_more()

    def put_back(self, connection: ClientConnection) -> None:
        """Make one idle again that was taken."""
        if self.used.pop(connection, connection) is not connection and connection.is_usable():
            self.put(connection)

    def forget(self, connection: ClientConnection) -> None:
        self.idle.pop(connection, None)
        self.used.pop(connection, None)

    def __repr__(self) -> str:
        return f"<ConnectionPool of {len(self.idle)} idle connections, {len(self.used)} used>"
