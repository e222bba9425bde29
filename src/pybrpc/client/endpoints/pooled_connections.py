"""PooledConnections: each call has a connection for itself, out of a pool with a limit.

A connection is idle, or used by one call, or closed (see ConnectionPool).

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
from pybrpc.client.connections.connection_pool import ConnectionPool
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import RpcError


class PooledConnections(SourceBase):
    """bRPC's connection type "pooled", with a strict limit."""

    __slots__ = ("_pool", "max_pool_size")

    gives_own_connections = True
    is_for_one_call = True
    wants_idle_events = True
    _pool: ConnectionPool

    def __init__(self, factory: ConnectionFactory, settings: SourceSettings) -> None:
        super().__init__(factory, settings)
        self.max_pool_size = settings.pool_size
        self._start_pool()

    def _start_pool(self) -> None:
        self.pool = self._pool = ConnectionPool(self._waiting, self.watchers, self._on_more)

    def on_idle(self, connection: ClientConnection, is_clean: bool) -> None:
        """A connection that is still connecting has sent nothing: it is as good as a new one."""
        if is_clean or not connection.socket.is_connected:
            self._pool.put_back(connection)
            return
        was_used = self._pool.used.pop(connection, connection) is not connection
        if was_used and connection.is_usable():
            self.drop(connection)

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        self._pool.forget(connection)
        super().on_failed(connection, error)

    def reclaim(self, call: WaitingCall) -> None:
        for connection in self._pool.abandoned(self.connections, call):
            self.drop(connection)

    def retire(self, connection: ClientConnection) -> None:
        if self._pool.idle.pop(connection, connection) is not connection:
            self.drop(connection)

    def after_fork(self) -> None:
        super().after_fork()
        self._start_pool()

    def _take_live(self, call: WaitingCall | None) -> ClientConnection | None:
        return None if _is_retry(call) else self._pool.take_now(call)

    def _can_serve(self) -> bool:
        return bool(self._pool.idle) or len(self._connections) < self.max_pool_size

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
        for connection in list(self._pool.idle)[:1]:
            if self._pool.idle.pop(connection, connection) is not connection:
                self.drop(connection)

    def _note_user(self, connection: ClientConnection, call: WaitingCall | None) -> None:
        self._pool.used[connection] = call

    def _keep(self, connection: ClientConnection) -> bool:
        if len(self._connections) > self.max_pool_size:
            return False
        self._pool.put(connection)
        return True

    def _on_more(self) -> None:
        """A connection has become idle while calls wait, here or in a cluster. Any thread."""
        if not self._waiting:
            self.notify_watchers()
        elif self.dispatcher.is_current():
            self._serve()
        else:
            self._serve_soon()


def _is_retry(call: WaitingCall | None) -> bool:
    return call is not None and call.retried_count > 0
