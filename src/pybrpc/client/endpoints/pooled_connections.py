"""PooledConnections: each call has a connection for itself, out of a pool with a limit.

A connection is idle, or used by one call, or closed. A call gets an idle one by removing it from
`_idle`, one step of a dict. The connection used last is taken first, so that surplus ones stay
unused until an idle timeout closes them.

There are never more than `max_pool_size` established connections. Further calls queue up, and get
released connections before calls that start later. A connection counts from when it is made until
it has failed; a thread that finds that it made one too many closes it.

A retry gets a new connection. Whatever broke the first one (the server stops, or closes idle
connections) has mostly broken all of them, and trying one after another would use up the retries.
"""

from __future__ import annotations

from pybrpc.client.calls.interfaces import WaitingCall
from pybrpc.client.connections.connection import ClientConnection
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import RpcError


class PooledConnections(SourceBase):
    """bRPC's connection type "pooled", with a strict limit."""

    __slots__ = ("_idle", "_used", "max_pool_size")

    is_for_one_call = True
    wants_idle_events = True

    def __init__(self, factory: ConnectionFactory, settings: SourceSettings) -> None:
        super().__init__(factory, settings)
        self.max_pool_size = settings.pool_size
        self._idle: dict[ClientConnection, None] = {}
        self._used: dict[ClientConnection, WaitingCall | None] = {}

    def on_idle(self, connection: ClientConnection, is_clean: bool) -> None:
        """A connection that is still connecting has sent nothing: it is as good as a new one."""
        if self._used.pop(connection, connection) is connection or not connection.is_usable():
            return
        if is_clean or not connection.socket.is_connected:
            self._put_idle(connection)
        else:
            self.drop(connection)

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        self._idle.pop(connection, None)
        self._used.pop(connection, None)
        super().on_failed(connection, error)

    def reclaim(self, call: WaitingCall) -> None:
        """Also close connections taken but never registered because a signal interrupted the
        taker.

        A connection that another thread has taken and is about to register may be closed as well;
        that thread's call is then refused by it, and takes another one.
        """
        for connection in self.connections:
            if connection in self._idle or connection.is_held():
                continue
            user = self._used.get(connection, connection)
            if user is call or (user is connection and connection.socket.is_connected):
                self.drop(connection)

    def retire(self, connection: ClientConnection) -> None:
        if self._idle.pop(connection, connection) is None:
            self.drop(connection)

    def after_fork(self) -> None:
        super().after_fork()
        self._idle = {}
        self._used = {}

    def _take_live(self, call: WaitingCall | None) -> ClientConnection | None:
        if _is_retry(call):
            return None
        while self._idle:
            try:
                connection, _ = self._idle.popitem()
            except KeyError:
                return None  # another thread was faster
            if connection.is_usable():
                connection.begin_use()
                self._used[connection] = call
                return connection
        return None

    def _can_serve(self) -> bool:
        return bool(self._idle) or len(self._connections) < self.max_pool_size

    def _make_if_allowed(self, call: WaitingCall | None) -> ClientConnection | None:
        if len(self._connections) >= self.max_pool_size and _is_retry(call):
            self._close_oldest_idle()
        if len(self._connections) >= self.max_pool_size:
            return None
        connection = self.make_for(self, call)
        if len(self._connections) <= self.max_pool_size:
            return connection
        self.drop(connection)
        return None

    def _close_oldest_idle(self) -> None:
        for connection in list(self._idle)[:1]:
            if self._idle.pop(connection, connection) is None:
                self.drop(connection)

    def _note_user(self, connection: ClientConnection, call: WaitingCall | None) -> None:
        self._used[connection] = call

    def _keep(self, connection: ClientConnection) -> bool:
        if len(self._connections) > self.max_pool_size:
            return False
        self._put_idle(connection)
        return True

    def _put_idle(self, connection: ClientConnection) -> None:
        self._idle[connection] = None
        if not connection.is_usable():
            self._idle.pop(connection, None)
        elif not self._waiting:
            if self.watchers:
                self.notify_watchers()
        elif self.dispatcher.is_current():
            self._serve()
        else:
            self._serve_soon()


def _is_retry(call: WaitingCall | None) -> bool:
    return call is not None and call.retried_count > 0
