"""RunningServer: a server from a start to its stop, with its listener, connections and threads."""

from __future__ import annotations

import asyncio
import dataclasses
import socket as _socket
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.wake_list import StopLatch
from pybrpc.server.calls.method_entry import SLOW_S
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.server.connections.sweeps import IdleSweep, PartialMessageSweep
from pybrpc.server.lifecycle.server_stop import ServerStop
from pybrpc.server.running.handler_loop import HandlerLoop
from pybrpc.server.running.worker import Task
from pybrpc.server.running.worker_pool import WorkerPool
from pybrpc.server.settings import ServerSettings, connections_there_is_room_for
from pybrpc.server.values import ServerStatistics, UnfinishedCall, UnfinishedConnection
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.listening.acceptor import Acceptor
from pybrpc.transport.runtime import Runtime


class RunningServer(ServerCore):
    """Made by `Server.start`; can't be used again once `stopped` is set."""

    __slots__ = (
        "__weakref__",
        "_idle_sweep",
        "_message_sweep",
        "_refused_log",
        "_stop",
        "acceptor",
        "connections",
        "handler_loop",
        "max_connections",
        "pool",
        "refused_connections",
        "stopped",
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
        options = settings.options.or_else(runtime.default_socket_options)
        settings = dataclasses.replace(settings, options=options)
        ServerCore.__init__(self, registry, settings, dispatcher, runtime.backlog)
        limit = settings.max_connections
        self.max_connections = connections_there_is_room_for() if limit is None else limit
        self.connections: set[ServerConnection] = set()
        self.refused_connections = 0
        self.stopped = StopLatch()
        self._refused_log = LimitedLog()
        self._stop = ServerStop(self)
        self.acceptor = Acceptor(where, dispatcher, self._on_accepted, runtime)
        self.pool = WorkerPool(dispatcher, settings.max_workers)
        self.handler_loop = HandlerLoop(loop) if registry.has_async_methods else None
        self._idle_sweep: IdleSweep | None = None
        if settings.idle_timeout_s is not None:
            self._idle_sweep = IdleSweep(self.connections, dispatcher, settings.idle_timeout_s)
            self._idle_sweep.start()
        self._message_sweep = PartialMessageSweep(
            self.connections, dispatcher, settings.message_timeout_s, settings.max_unanswered_bytes
        )
        self.acceptor.start()

    # --- in turns of the dispatcher, called by connections ---

    def start_calls(self, calls: list[ServerCall]) -> None:
        """Run admitted calls: inline, in workers, or in the loop of async handlers."""
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

    def review_stop(self) -> None:
        self._stop.review_soon()

    def forget(self, connection: Any) -> None:
        self.connections.discard(connection)
        if self.is_stopping:
            self._stop.review_soon()

    def stop(self, deadline: float) -> None:
        """Begin to stop, or bring the end of a stop forward. Never blocks, takes no lock."""
        self.is_stopping = True
        self._stop.begin(deadline)

    def end(self) -> None:
        """No connection is left: end the workers and the loop of handlers, and wake `join`."""
        if self._idle_sweep is not None:
            self._idle_sweep.end()
        self._message_sweep.end()
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
        """The admitted calls that have no response, or whose responses are not queued yet."""
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
        self._message_sweep.note_accepted()
        if connection.is_gone():
            self.forget(connection)

    def __repr__(self) -> str:
        return f"<RunningServer, {self.description}>"
