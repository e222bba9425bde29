"""SourceBase: the common part of all kinds of ConnectionSource.

A subclass decides which connections there are and when one more may be made. Decided here: only
the Reconnector makes connections to an endpoint that is down; waiting calls are served oldest
first, in turns of the dispatcher; the IdleSweep closes connections that nobody uses.

A thread that queues a call looks afterwards for a connection, and a thread that releases a
connection looks afterwards for a waiting call. Store, then load, on both sides (`base.atomic`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.endpoint import Endpoint
from pybrpc.client.calls.attempt import AttemptConnection
from pybrpc.client.calls.attempt_end import AttemptListener
from pybrpc.client.calls.call_times import CallTimes
from pybrpc.client.calls.interfaces import BackedUpCall, WaitingCall
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.connections.connection_pool import ConnectionPool
from pybrpc.client.endpoints.idle_sweep import IdleSweep
from pybrpc.client.endpoints.reconnector import Reconnector
from pybrpc.client.endpoints.settings import EndpointStatistics, SourceSettings
from pybrpc.client.endpoints.waiting_calls import WaitingCalls
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.rpc.timeout_queue import TimeoutQueues


class SourceWatcher(Protocol):
    """A cluster, as the sources of the connections to its servers see it."""

    def on_source_changed(self) -> None:
        """The endpoint went down or came up, or there is room for a call. Any thread."""


class SourceBase(WaitingCalls, ConnectionOwner):
    """A ConnectionSource in the SocketMap: shared by channels, closed by the last one."""

    gives_own_connections = False
    is_for_one_call = False
    """Whether each of its connections is used by one call at a time."""

    __slots__ = (
        "_connections",
        "_created",
        "_idle_sweep",
        "_reconnector",
        "attempt_listeners",
        "call_times",
        "factory",
        "live",
        "pool",
        "watchers",
    )

    def __init__(self, factory: ConnectionFactory, settings: SourceSettings | None = None) -> None:
        super().__init__()
        settings = settings or SourceSettings()
        self.factory = factory
        self._connections: dict[ClientConnection, None] = {}
        self._created = atomic_counter()
        self.attempt_listeners: tuple[AttemptListener, ...] | None = None
        self.live: ClientConnection | None = None
        self.pool: ConnectionPool | None = None
        self.watchers: dict[SourceWatcher, None] = {}
        """The clusters that it serves. Each operation on it is one step."""
        self._reconnector = Reconnector(self, settings.dial_backoff, settings.health_check)
        self._idle_sweep = IdleSweep(self, settings.idle_timeout_s)
        self.timeouts = TimeoutQueues(None, factory)
        self.call_times = self._new_call_times()

    def _new_call_times(self) -> CallTimes:
        factory = self.factory
        return CallTimes(factory.endpoint, factory.protocol.name)

    def on_acquired(self) -> None:
        self.call_times.open()

    @property
    def endpoint(self) -> Endpoint:
        return self.factory.endpoint

    def endpoints(self) -> Sequence[Endpoint]:
        return (self.factory.endpoint,)

    @property
    def name(self) -> str:
        return str(self.factory.endpoint)

    @property
    def why_down(self) -> RpcError | None:
        return self._reconnector.why_down()

    @property
    def connections(self) -> list[ClientConnection]:
        """The connections that it holds now."""
        return list(self._connections)

    def statistics(self) -> EndpointStatistics:
        """Any thread; the counts are not one snapshot."""
        established = [c for c in self.connections if c.is_usable() and c.socket.is_connected]
        in_use = sum(connection.is_held() for connection in self.connections)
        created = self._created.get()
        return EndpointStatistics(
            created=created,
            closed=created - len(self._connections),
            in_use=in_use,
            idle=sum(not connection.is_held() for connection in established),
            waiting=len(self._waiting),
            is_down=self._reconnector.health.is_down,
        )

    # --- who listens ---

    def add_attempt_listener(self, listener: AttemptListener) -> None:
        """Report the end of each attempt that is sent from now on to `listener`. One thread at a
        time."""
        self._set_listeners((*(self.attempt_listeners or ()), listener))

    def remove_attempt_listener(self, listener: AttemptListener) -> None:
        """Report no more to `listener`, except attempts that were sent already."""
        self._set_listeners(tuple(x for x in self.attempt_listeners or () if x is not listener))

    def _set_listeners(self, listeners: tuple[AttemptListener, ...]) -> None:
        self.attempt_listeners = listeners or None
        for connection in self.connections:
            if connection.owner is self:
                connection.attempt_listeners = self.attempt_listeners

    # --- for clusters ---

    def add_watcher(self, watcher: SourceWatcher) -> None:
        """Notify `watcher` from now on. Any thread."""
        self.watchers[watcher] = None

    def remove_watcher(self, watcher: SourceWatcher) -> None:
        """Notify `watcher` no more. Any thread."""
        self.watchers.pop(watcher, None)

    def get_now(self, call: WaitingCall | None) -> ClientConnection | None:
        """A connection for an attempt of `call`; `None` if there is none now: the endpoint is down,
        or all are used. Another server's failure was the reason for a retry, so it takes any."""
        if self._waiting or self._reconnector.health.is_down:
            return None
        connection = self._take_live(None) or self._take_fresh(None)
        if connection is not None and call is not None:
            self._note_user(connection, call)
        return connection

    def notify_watchers(self) -> None:
        """Tell the clusters that something has changed. In a turn."""
        for watcher in list(self.watchers):
            watcher.on_source_changed()

    # --- for calls ---

    def get(self, call: WaitingCall) -> ClientConnection | None:
        connection = None if self._waiting else self._take_live(call)
        return connection or self._get_fresh(call)

    def wait(self, call: WaitingCall) -> None:
        self._waiting.add(call)
        if not self.is_used:
            self._refuse_waiting(self._closed_error())
        elif self._reconnector.health.is_down:
            if not call.options.wait_for_ready:
                self._serve_soon()
        elif self._can_serve():
            self._serve_soon()

    def reclaim(self, call: WaitingCall) -> None:
        pass

    def may_retry_elsewhere(self, call: BackedUpCall, error: RpcError) -> bool:
        return False

    def take_retry(self, error: RpcError) -> bool:
        return True

    def connection_for_backup(
        self, call: BackedUpCall, used: AttemptConnection
    ) -> AttemptConnection | None:
        if self._waiting:
            return None
        return self._take_live(None) or self._take_fresh(None)

    def _get_fresh(self, call: WaitingCall) -> ClientConnection | None:
        if not self._reconnector.health.is_down:
            return None if self._waiting else self._take_fresh(call)
        if self._may_dial(call):
            return self._make_if_allowed(call)
        if not call.options.wait_for_ready:
            self._reconnector.raise_if_down()
        return None

    def _may_dial(self, call: WaitingCall) -> bool:
        """A call that waited before its retry may dial even while the endpoint is down."""
        has_paused = call.retried_count > 0 and call.options.retry.backoff is not None
        return has_paused and not self._reconnector.is_checking

    def _take_fresh(self, call: WaitingCall | None) -> ClientConnection | None:
        return None if self._reconnector.health.is_down else self._make_if_allowed(call)

    # --- different in each kind of source ---

    def _take_live(self, call: WaitingCall | None) -> ClientConnection | None:
        """A connection that may be used now, for `call`, or for a backup request."""
        raise NotImplementedError

    def _can_serve(self) -> bool:
        """Whether `_take_live` would find a connection now, or `_make_if_allowed` make one."""
        raise NotImplementedError

    def _make_if_allowed(self, call: WaitingCall | None) -> ClientConnection | None:
        """A new connection; `None` if there may be no more."""
        raise NotImplementedError

    def _keep(self, connection: ClientConnection) -> bool:
        """Keep an established connection that no call uses yet; False if it is not needed."""
        raise NotImplementedError

    def retire(self, connection: ClientConnection) -> None:
        """Give an idle connection to no call any more, and close it soon. In a turn."""
        raise NotImplementedError

    # --- for connections, the Reconnector and the IdleSweep ---

    def make_for(
        self,
        owner: ConnectionOwner,
        call: WaitingCall | None = None,
        *,
        is_for_one_call: bool = False,
    ) -> ClientConnection:
        """Create a connection. An owner other than this source must call `adopt` or `forget`
        later."""
        is_for_one_call |= self.is_for_one_call
        connection = self.factory.make(self.timeouts, owner, is_for_one_call)
        if owner is self:
            connection.begin_use()
            self._note_user(connection, call)
        self._created.increment_and_get(1)
        self._connections[connection] = None
        # Again: a listener may have been added before the connection was found here.
        connection.set_owner(owner)
        if not self.is_used:
            connection.close()
        return connection

    def adopt(self, connection: ClientConnection) -> None:
        """A background dial has succeeded: the endpoint is up again. In a turn."""
        connection.set_owner(self)
        self._idle_sweep.start()
        if not self._keep(connection):
            connection.close()
        self._serve()
        self.notify_watchers()

    def forget(self, connection: ClientConnection) -> None:
        """The connection has failed."""
        self._connections.pop(connection, None)

    def drop(self, connection: ClientConnection) -> None:
        """Close a connection, and make room for another one at once: its failure is reported in a
        later turn."""
        connection.close()
        self.forget(connection)

    def on_connected(self, connection: ClientConnection) -> None:
        self._idle_sweep.start()
        if self._reconnector.note_success():
            self._serve()
            self.notify_watchers()

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        self.forget(connection)
        self._reconnector.note_failure(error)
        if self._waiting:
            self._serve_soon()
        self.notify_watchers()
        if self.watchers and not self._connections and _has_served_and_broken(connection, error):
            # Otherwise a cluster sends it one more call, which finds that its server has gone.
            self._reconnector.look()

    # --- calls that wait ---

    def _serve_all(self) -> None:
        if self._reconnector.health.is_down:
            self._refuse_impatient()
        left = MAX_PER_STEP
        while self._waiting:
            connection = self._take_live(None) or self._take_fresh(None)
            if connection is None:
                return
            oldest = self._waiting.take()
            if oldest is None:
                connection.release()
                return
            self._note_user(connection, oldest)
            oldest.on_connection(connection)
            left -= 1
            if not left:
                self._serve_soon()
                return

    def _why_hopeless(self) -> RpcError | None:
        return self._reconnector.why_down()

    def _note_user(self, connection: ClientConnection, call: WaitingCall | None) -> None:
        """Note that the connection is for `call`."""

    # --- the end ---

    def close(self) -> None:
        self._reconnector.close()
        self._idle_sweep.close()
        try:
            self._end_waiting()
        finally:
            for connection in self.connections:
                connection.close()
            self.call_times.close()
            if self.is_used:  # Store, then load: another channel has come meanwhile.
                self.call_times.open()

    def is_lost(self) -> bool:
        loop = self.factory.loop
        return loop is not None and loop.is_closed()

    def after_fork(self) -> None:
        self.timeouts = TimeoutQueues(None, self.factory)
        self._connections = {}
        self.forget_waiting()
        self.call_times = self._new_call_times()
        self._reconnector.after_fork()
        self._idle_sweep.after_fork()

    def __repr__(self) -> str:
        state = f", {self._reconnector.health!r}" if self._reconnector.health.is_down else ""
        waiting = f", {len(self._waiting)} calls wait" if self._waiting else ""
        return (
            f"<{type(self).__name__} to {self.endpoint}, {len(self._connections)} "
            f"connections{waiting}{state}>"
        )


def _has_served_and_broken(connection: ClientConnection, error: RpcError) -> bool:
    """Whether a connection that has brought a response was lost. A connection for each response,
    so no endpoint that closes them is dialled for ever."""
    is_lost = error.code != ErrorCode.ECLOSE or error.is_remote
    return is_lost and connection.socket.messages_read > 0
