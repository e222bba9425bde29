"""AutoConnections: one connection that calls share, and a few more for threads that block.

Where several threads block in calls over one connection, one thread reads for all and hands each
its response: a switch from thread to thread for each call. A thread that has a connection for
itself reads its own response (see DirectDispatcher). So when a thread is about to block while other
calls wait on the shared connection, one more connection is established in the background, and the
call goes over the shared one; later calls of threads that block take such connections while there
are idle ones. Futures, callbacks, tasks, streams, retries and backup requests share the one.

There are at most `max_pool_size` of them to an endpoint, and PROCESS_LIMIT in the process. While
more calls than that, and a quarter more, are under way, and CROWD_S longer, all of them share:
threads in a crowd that read for themselves wait for the GIL, and one that reads for all serves many
at a time. docs/design/0030 has the figures. A connection without a call for IDLE_S is closed.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pybrpc.base.atomic import AtomicRef, atomic_counter, atomic_ref
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.connections.connection_pool import ConnectionPool
from pybrpc.client.endpoints.idle_sweep import IdleSweep
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf import IOBuf

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import AttemptConnection
    from pybrpc.client.calls.attempt_end import AttemptListener
    from pybrpc.client.calls.interfaces import BackedUpCall, WaitingCall
    from pybrpc.client.connections.connection_factory import ConnectionFactory
    from pybrpc.client.endpoints.settings import SourceSettings
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

DEFAULT_MAX_OWN = 8
"""Connections for threads that block, to one endpoint."""

PROCESS_LIMIT = 1024
"""Such connections to all endpoints."""

IDLE_S = 10.0
"""Seconds without a call after which one is closed."""

PAUSE_S = 1.0
"""Seconds after one has failed, or the process has enough, in which none is made."""

_in_process = atomic_counter()


class OwnConnections(ConnectionOwner):
    """The connections for threads that block: their owner, and what an IdleSweep sees of them.

    `idle` has those that no call uses. Any thread may call `grow`, `close` and `after_fork`.
    """

    __slots__ = (
        "_all",
        "_connecting",
        "_count",
        "_idle_sweep",
        "_paused_until",
        "_source",
        "idle",
        "limit",
        "pool",
    )

    wants_idle_events = True

    def __init__(self, source: AutoConnections, limit: int) -> None:
        self._source = source
        self.limit = limit
        self._count = atomic_counter()
        self._start()

    def _start(self) -> None:
        self._all: dict[ClientConnection, None] = {}
        self._connecting: AtomicRef[object | None] = atomic_ref(None)
        """The one that is being established: one at a time."""
        self._paused_until = 0.0
        max_together = self.limit + max(1, self.limit // 4)
        self.idle = self.pool = ConnectionPool((), {}, _nothing, max_together)
        self._idle_sweep = IdleSweep(self, IDLE_S)

    def after_fork(self) -> None:
        """They are those of the parent."""
        _in_process.decrement_and_get(self._count.get())
        self._count = atomic_counter()
        self._start()

    def grow(self) -> None:
        """Establish one more, unless there are enough, or one is being established. Never
        blocks."""
        if time.monotonic() < self._paused_until:
            return
        connection: ClientConnection | None = None
        is_counted = False
        try:
            if not self._connecting.compare_and_set(None, self):
                return
            is_counted = self._count_one_more()
            if not is_counted:
                self._connecting.compare_and_set(self, None)
                return
            connection = self._source.make_for(self, is_for_one_call=True)
            self._all[connection] = None
            self._connecting.compare_and_set(self, connection)
            # An empty message connects it. If it is refused, it has failed, which it reports.
            with contextlib.suppress(RpcError):
                connection.socket.start_write(IOBuf())
        except BaseException:
            # Of a signal handler, or set by another thread.
            self._connecting.compare_and_set(self, None)
            if connection is not None and connection in self._all:
                connection.close()
            elif is_counted:
                self._count_one_less()
            raise

    def reclaim(self, call: WaitingCall) -> None:
        for connection in self.idle.abandoned(self.connections, call):
            connection.close()

    def _count_one_more(self) -> bool:
        if self._count.increment_and_get(1) > self.limit:
            self._count.decrement_and_get(1)
            return False
        if _in_process.increment_and_get(1) > PROCESS_LIMIT:
            self._count_one_less()
            self._paused_until = time.monotonic() + PAUSE_S
            return False
        self.idle.may_grow = self._count.get() < self.limit
        return True

    def _count_one_less(self) -> None:
        self._count.decrement_and_get(1)
        _in_process.decrement_and_get(1)
        self.idle.may_grow = True

    def set_listeners(self) -> None:
        """Those of the source have changed."""
        for connection in self.connections:
            connection.set_owner(self)

    # --- as a ConnectionOwner ---

    @property
    def attempt_listeners(self) -> tuple[AttemptListener, ...] | None:  # type: ignore[override]
        return self._source.attempt_listeners

    def on_connected(self, connection: ClientConnection) -> None:
        self._idle_sweep.start()
        self._connecting.compare_and_set(connection, None)
        self.idle.put(connection)

    def on_idle(self, connection: ClientConnection, is_clean: bool) -> None:
        """Its response may still come: it belongs to no call."""
        connection.close()

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        self._forget(connection, error)

    def _forget(self, connection: ClientConnection, error: RpcError) -> None:
        self.idle.forget(connection)
        self._source.forget(connection)
        if self._all.pop(connection, connection) is connection:
            return
        self._connecting.compare_and_set(connection, None)
        is_closed_here = error.code == ErrorCode.ECLOSE and not error.is_remote
        if not is_closed_here and not connection.is_retired:
            self._paused_until = time.monotonic() + PAUSE_S
        self._count_one_less()

    # --- as a SweptSource ---

    @property
    def dispatcher(self) -> EventDispatcher:
        return self._source.dispatcher

    @property
    def connections(self) -> list[ClientConnection]:
        return list(self._all)

    @property
    def is_used(self) -> bool:
        return self._source.is_used

    def retire(self, connection: ClientConnection) -> None:
        if self.idle.idle.pop(connection, connection) is not connection:
            connection.retire()

    def close(self) -> None:
        """The source closes the connections."""
        self._idle_sweep.close()

    def __repr__(self) -> str:
        return f"<OwnConnections {self._count.get()} of at most {self.limit}, {self.idle!r}>"


class AutoConnections(SingleConnections):
    """The connection type "auto"."""

    __slots__ = ("_own",)

    gives_own_connections = True

    def __init__(self, factory: ConnectionFactory, settings: SourceSettings) -> None:
        super().__init__(factory, settings)
        self._own = OwnConnections(self, settings.max_pool_size or DEFAULT_MAX_OWN)
        # In a loop, and after the loop's tasks, no thread blocks.
        self.pool = self._own.idle if factory.loop is None else None

    def get(self, call: WaitingCall) -> ClientConnection | None:
        connection = super().get(call)
        if call.is_blocking and connection is not None:
            self._grow_if_shared(connection)
        return connection

    def get_now(self, call: WaitingCall | None) -> ClientConnection | None:
        pool = self.pool
        if call is None or call.retried_count or pool is None:
            return super().get_now(call)
        if not pool.serves(call.is_blocking, self.live):
            return super().get_now(call)
        own = pool.take(call)
        if own is not None:
            return own
        connection = super().get_now(call)
        if connection is not None and pool.may_grow:
            self._grow_if_shared(connection)
        return connection

    def _grow_if_shared(self, connection: ClientConnection) -> None:
        """A thread is about to block: if it is not the only one, it shall have its own soon."""
        if connection.in_flight or self._own.idle.used:
            self._own.grow()

    def reclaim(self, call: WaitingCall) -> None:
        super().reclaim(call)
        self._own.reclaim(call)

    def connection_for_backup(
        self, call: BackedUpCall, used: AttemptConnection
    ) -> AttemptConnection | None:
        connection = super().connection_for_backup(call, used)
        return None if connection is used and used.direct is not None else connection

    def retire(self, connection: ClientConnection) -> None:
        if connection.owner is self._own:
            self._own.retire(connection)
        else:
            super().retire(connection)

    def _set_listeners(self, listeners: tuple[AttemptListener, ...]) -> None:
        super()._set_listeners(listeners)
        self._own.set_listeners()

    def close(self) -> None:
        self._own.close()
        super().close()

    def after_fork(self) -> None:
        super().after_fork()
        self._own.after_fork()
        if self.pool is not None:
            self.pool = self._own.idle


def _nothing() -> None:
    """No call waits for one of these connections."""
