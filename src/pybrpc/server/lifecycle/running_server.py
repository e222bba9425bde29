"""RunningServer: a server from a start to its stop: what it listens on, who is connected, what runs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket as _socket
import time

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.latch import StopLatch
from pybrpc.base.limited_log import LimitedLog
from pybrpc.errors import LimitReachedError, RpcError, ServerStoppingError
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.calls.service_registry import SLOW_S, ServiceRegistry
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.connections.sweeps import IdleSweep, PartialMessageSweep
from pybrpc.server.lifecycle.server_stop import ServerStop
from pybrpc.server.running.handler_loop import HandlerLoop
from pybrpc.server.running.worker import Task
from pybrpc.server.running.worker_pool import WorkerPool
from pybrpc.server.settings import ServerSettings, connections_there_is_room_for
from pybrpc.server.values import ServerStatistics, UnfinishedCall, UnfinishedConnection
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.listening.acceptor import Acceptor
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.writing.process_backlog import ProcessBacklog


class RunningServer:
    """Made by `Server.start`; of no use once `stopped` is set."""

    __slots__ = (
        "__weakref__",
        "_idle_watch",
        "_message_watch",
        "_refused_log",
        "_stop",
        "acceptor",
        "auth_log",
        "bad_input_log",
        "connections",
        "dispatcher",
        "errors",
        "handler_loop",
        "is_stopping",
        "max_concurrency",
        "max_connections",
        "pool",
        "process_backlog",
        "refused_connections",
        "registry",
        "requests",
        "running",
        "settings",
        "stopped",
        "unanswered",
    )

    def __init__(
        self,
        where: Endpoint | _socket.socket,
        registry: ServiceRegistry,
        settings: ServerSettings,
        dispatcher: EventDispatcher,
        runtime: Runtime,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        """Listen. Raises ListenError."""
        self.registry = registry
        options = settings.options.or_else(runtime.default_socket_options)
        self.settings = dataclasses.replace(settings, options=options)
        self.dispatcher = dispatcher
        self.max_concurrency = settings.max_concurrency
        limit = settings.max_connections
        self.max_connections = connections_there_is_room_for() if limit is None else limit
        self.running: set[ServerCall] = set()
        """Let in and not answered yet: what max_concurrency limits."""
        self.connections: set[ServerConnection] = set()
        self.requests = 0
        self.refused_connections = 0
        self.errors = atomic_counter()
        self.is_stopping = False
        self.stopped = StopLatch()
        self.process_backlog = runtime.backlog
        self.unanswered = ProcessBacklog(settings.max_unanswered_bytes)
        """Bytes of requests that are let in and not answered."""
        self.auth_log = LimitedLog()
        self.bad_input_log = LimitedLog()
        self._refused_log = LimitedLog()
        self._stop = ServerStop(self)
        self._idle_watch: IdleSweep | None = None
        self.acceptor = Acceptor(where, dispatcher, self._on_accepted, runtime)
        self.pool = WorkerPool(dispatcher, settings.max_workers)
        self.handler_loop = HandlerLoop(loop) if registry.has_async_methods else None
        if settings.idle_timeout_s is not None:
            self._idle_watch = IdleSweep(self.connections, dispatcher, settings.idle_timeout_s)
            self._idle_watch.start()
        self._message_watch = PartialMessageSweep(
            self.connections, dispatcher, settings.message_timeout_s, settings.max_unanswered_bytes
        )
        self.acceptor.start()

    # --- in turns of the dispatcher, on behalf of connections ---

    def start_calls(self, calls: list[ServerCall]) -> None:
        """Run calls that were let in, each where its handler belongs."""
        tasks: list[Task] = []
        async_calls: list[ServerCall] = []
        are_quick = True
        for call in calls:
            entry = call.entry
            if entry.is_async:
                async_calls.append(call)
            elif entry.mean_s > SLOW_S:
                self.pool.submit_dedicated(call)
            else:
                tasks.append(call)
                are_quick = are_quick and entry.is_quick()
        if tasks:
            self.pool.submit(tasks, are_quick)
        if async_calls and self.handler_loop is not None:
            self.handler_loop.start_calls(async_calls)

    def rejection(self, request: RpcRequest) -> RpcError:
        """Checked in the order of bRPC: stopping, limit, service and method, its limit."""
        if self.is_stopping:
            return ServerStoppingError("Server is stopping")
        if self.is_full():
            return LimitReachedError(f"Reached server's max_concurrency={self.max_concurrency}")
        entry = self.registry.get(request.service, request.method)
        if entry is not None:
            what = f"{entry.full_name}'s ConcurrencyLimiter"
            count = entry.max_concurrency + 1
            return LimitReachedError(f"Rejected by {what}, concurrency={count}")
        return self.registry.not_found_error(request.service, request.method)

    def is_full(self) -> bool:
        limit = self.max_concurrency
        return bool(limit) and len(self.running) >= limit

    def admit(self, call: ServerCall) -> None:
        self.running.add(call)
        if call.entry.max_concurrency:
            call.entry.running.add(call)

    # --- from any thread ---

    @property
    def description(self) -> str:
        """ "running on 127.0.0.1:8000, 2 connections, 1 requests running", for people."""
        if self.stopped.is_set:
            return "stopped"
        state = "stopping" if self.is_stopping else "running"
        return (
            f"{state} on {self.acceptor.endpoint}, "
            f"{len(self.connections)} connections, {len(self.running)} requests running"
        )

    def leave(self, calls: list[ServerCall]) -> None:
        """The answers of calls stand: they count under no limit any more."""
        self.running.difference_update(calls)
        for call in calls:
            if call.entry.running:
                call.entry.running.discard(call)

    def end_calls(self, connection: ServerConnection) -> None:
        """The answers of some calls of `connection` are queued, or nobody will read them."""
        if self._idle_watch is not None:
            connection.active_at = time.monotonic()
        if self.is_stopping:
            self._stop.review_soon()
        elif connection.is_ended and not connection.calls:
            with contextlib.suppress(DispatcherClosedError):
                self.dispatcher.post(connection.close_if_answered)

    def forget(self, connection: ServerConnection) -> None:
        """A connection has failed or was closed."""
        self.connections.discard(connection)
        if self.is_stopping:
            self._stop.review_soon()

    def stop(self, deadline: float) -> None:
        """Begin to stop, or bring the end of a stop forward. Never blocks, takes no lock."""
        self.is_stopping = True
        self._stop.begin(deadline)

    def end(self) -> None:
        """No connection is left: let the workers and the loop of handlers go, wake who joins."""
        if self._idle_watch is not None:
            self._idle_watch.end()
        self._message_watch.end()
        self.pool.close()
        if self.handler_loop is not None:
            self.handler_loop.close()
        self.stopped.set()

    def join_threads(self, deadline: float) -> None:
        """After `stopped` is set: wait for the threads that are not in a handler."""
        self.pool.join(deadline)
        if self.handler_loop is not None:
            self.handler_loop.join(deadline)

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(
            accepted=self.acceptor.accepted,
            requests=self.requests,
            errors=self.errors.get(),
            refused_connections=self.refused_connections,
            connections=len(self.connections),
            running=len(self.running),
            workers=self.pool.worker_count,
        )

    def unfinished(self) -> list[UnfinishedCall]:
        """What was let in and is not answered, or whose answer is not queued yet."""
        calls = set(self.running)
        for connection in list(self.connections):
            calls.update(list(connection.calls))
        return [call.unfinished() for call in calls]

    def unfinished_connections(self) -> list[UnfinishedConnection]:
        """The connections that are not closed yet."""
        return [connection.unfinished() for connection in list(self.connections)]

    def _on_accepted(self, sock: _socket.socket) -> None:
        limit = self.max_connections
        if 0 < limit <= len(self.connections):
            sock.close()
            self.refused_connections += 1
            where = self.acceptor.endpoint
            self._refused_log.warn("Close a new connection to %s: max_connections=%d", where, limit)
            return
        connection = ServerConnection(self, sock)
        self.connections.add(connection)
        self._message_watch.note_accepted()
        if connection.is_gone():
            self.forget(connection)

    def __repr__(self) -> str:
        return f"<RunningServer, {self.description}>"
