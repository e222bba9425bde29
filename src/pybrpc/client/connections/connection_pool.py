"""ConnectionPool: which connections of a pool are idle, and which call each other one is for.

A connection is taken by removing it from `idle`, one step of a dict: the one used last first, so
that surplus ones stay unused until an idle timeout closes them. One that has been idle for a while
is given to a call only if its peer has not closed it by then: the dispatcher may not have noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from time import monotonic
from typing import Any

from pybrpc.client.connections.connection import ClientConnection

LOOK_AFTER_S = 0.001
"""Seconds without a call after which it is looked whether the peer has closed."""


CROWD_S = 0.1
"""Seconds for which calls share after there were more than `max_together`."""


class ConnectionPool:
    """Any thread; never blocks."""

    __slots__ = (
        "_on_more",
        "_shares_until",
        "_waiting",
        "_watchers",
        "idle",
        "max_together",
        "may_grow",
        "used",
    )

    def __init__(
        self,
        waiting: Sized,
        watchers: dict[Any, None],
        on_more: Callable[[], None],
        max_together: int = 0,
    ) -> None:
        """`waiting`: the calls that wait for a connection; while there are any, `take` gives none.
        `on_more` is called after a connection has become idle, if there are any, or `watchers`.
        `max_together`: only threads that block take connections here, and only while at most so
        many calls are under way; 0: all calls do."""
        self.idle: dict[ClientConnection, float] = {}
        """Since when, in monotonic seconds."""
        self.used: dict[ClientConnection, object | None] = {}
        self._waiting = waiting
        self._watchers = watchers
        self._on_more = on_more
        self.max_together = max_together
        self._shares_until = 0.0
        self.may_grow = max_together > 0
        """Whether a call that gets none here asks its source, which may make more."""

    def serves(self, is_blocking: bool, shared: Any) -> bool:
        """Whether a call may take a connection here. `shared`: the ClientConnection that the others
        share; `None`: there is none."""
        if not self.max_together:
            return True
        if not is_blocking:
            return False
        together = len(self.used)
        if shared is not None:
            together += shared.in_flight
        if together >= self.max_together:
            self._shares_until = monotonic() + CROWD_S
            return False
        return not self._shares_until or monotonic() >= self._shares_until

    def take(self, call: object | None) -> ClientConnection | None:
        """An idle connection for `call`; `None` if there is none, or if others wait."""
        return self.take_now(call) if not len(self._waiting) else None

    def take_now(self, call: object | None) -> ClientConnection | None:
        """As `take`, also before calls that wait."""
        idle = self.idle
        taken = None
        in_use: list[tuple[ClientConnection, float]] = []
        while idle and taken is None:
            try:
                item = idle.popitem()
            except KeyError:
                break  # another thread was faster
            taken = self._use(item[0], item[1], call, in_use)
        for connection, since in in_use:
            idle[connection] = since
        return taken

    def _use(
        self,
        connection: ClientConnection,
        since: float,
        call: object | None,
        in_use: list[tuple[ClientConnection, float]],
    ) -> ClientConnection | None:
        """Give it to `call`, unless it has broken, or is about to be left by this same thread: then
        it is put into `in_use`."""
        direct = connection.direct
        if not connection.is_usable():
            return None
        if direct is not None:
            if direct.has_entered():  # this is a call of a signal handler, or of a policy
                in_use.append((connection, since))
                return None
            if since < monotonic() - LOOK_AFTER_S and direct.has_ended():
                connection.close()
                return None
        connection.begin_use()
        self.used[connection] = call
        if connection.is_usable():
            return connection
        self.used.pop(connection, None)  # It has failed meanwhile: store, then load.
        return None

    def put(self, connection: ClientConnection) -> None:
        """Make a connection idle that no call uses."""
        self.idle[connection] = monotonic()
        if not connection.is_usable():
            self.idle.pop(connection, None)
        elif len(self._watchers) or len(self._waiting):
            self._on_more()

    def put_back(self, connection: ClientConnection) -> None:
        """Make one idle again that was taken."""
        if self.used.pop(connection, connection) is not connection and connection.is_usable():
            self.put(connection)

    def abandoned(
        self, connections: Iterable[ClientConnection], call: object
    ) -> list[ClientConnection]:
        """Those of `connections` that `call`, which was interrupted, has taken and not used, or
        that were taken and not registered.

        A connection that another thread has taken and is about to register may be among them: its
        call is then refused by it, and takes another one.
        """
        found = []
        for connection in connections:
            if connection in self.idle or connection.is_held():
                continue
            user = self.used.get(connection, connection)
            if user is call or (user is connection and connection.socket.is_connected):
                found.append(connection)
        return found

    def forget(self, connection: ClientConnection) -> None:
        self.idle.pop(connection, None)
        self.used.pop(connection, None)

    def __repr__(self) -> str:
        return f"<ConnectionPool of {len(self.idle)} idle connections, {len(self.used)} used>"
