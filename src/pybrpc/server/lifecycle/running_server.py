"""RunningServer: a server from a start to its stop, with its listener, connections and threads."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import socket as _socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pybrpc.base.deadline import NEVER, deadline_after
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.wake_list import StopLatch
from pybrpc.protocols.http1.http_protocol import HttpProtocol
from pybrpc.rpc.answering_loops import forget_server, note_server
from pybrpc.server.access_log.access_writer import AccessWriter
from pybrpc.server.calls.access_listener import AccessListener
from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.calls.interfaces import CallConnection
from pybrpc.server.calls.invoker import Invoker
from pybrpc.server.calls.method_entry import SLOW_S
from pybrpc.server.calls.server_call import GRACE_OVER, ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.server.connections.sweeps import IdleSweep, PartialMessageSweep
from pybrpc.server.http.frontend import HttpFrontend
from pybrpc.server.lifecycle.drain import Drain
from pybrpc.server.lifecycle.hooks import LifecycleHooks
from pybrpc.server.lifecycle.internal_port import InternalPort
from pybrpc.server.lifecycle.loop_watch import LoopWatch
from pybrpc.server.lifecycle.registrations import Registrations
from pybrpc.server.lifecycle.server_stop import ServerStop
from pybrpc.server.lifecycle.server_variables import ServerVariables
from pybrpc.server.lifecycle.stop_hooks import StopHooks
from pybrpc.server.rpc_dump.dump_writer import DumpWriter
from pybrpc.server.running.handler_loop import HandlerLoop
from pybrpc.server.running.worker_pool import WorkerPool
from pybrpc.server.settings import ServerSettings, connections_there_is_room_for
from pybrpc.server.values import ServerStatistics, UnfinishedCall, UnfinishedConnection
from pybrpc.transport.dispatch.event_dispatcher import (
    Continuation,
    DispatcherClosedError,
    EventDispatcher,
)
from pybrpc.transport.listening.acceptor import ACCEPTS_PER_TURN, COSTLY_ACCEPTS_PER_TURN
from pybrpc.transport.listening.acceptors import Where, new_acceptor
from pybrpc.transport.runtime import Runtime

MAX_ENDS = 512
"""Calls of a failed connection that end in one turn, of each kind."""


class RunningServer(ServerCore):
    """Made by `Server.start`; can't be used again once `stopped` is set.

    It is started in two steps: `start_up`, which needs the context and the loop of handlers, then
    `listen`. If one of them raises, `give_up_start` has to follow.
    """

    __slots__ = (
        "__weakref__",
        "_access_writer",
        "_bound_loop",
        "_context",
        "_dump_writer",
        "_grace_end",
        "_hooks",
        "_idle_sweep",
        "_loop_watch",
        "_message_sweep",
        "_new_frontend",
        "_refused_log",
        "_stop",
        "_stop_hooks",
        "acceptor",
        "connections",
        "drain",
        "handler_loop",
        "http",
        "internal_port",
        "invoker",
        "max_connections",
        "pool",
        "refused_connections",
        "stopped",
        "variables",
    )

    def __init__(
        self,
        registry: ServiceRegistry,
        settings: ServerSettings,
        hooks: LifecycleHooks,
        dispatcher: EventDispatcher,
        runtime: Runtime,
        loop: asyncio.AbstractEventLoop | None,
        new_frontend: Callable[[RunningServer], HttpFrontend] | None = None,
        registrations: Registrations | None = None,
    ) -> None:
        options = settings.options.or_else(runtime.default_socket_options)
        settings = dataclasses.replace(settings, options=options)
        ServerCore.__init__(self, registry, settings, dispatcher, runtime.backlog)
        limit = settings.max_connections
        self.max_connections = connections_there_is_room_for() if limit is None else limit
        self.connections: set[ServerConnection] = set()
        self.refused_connections = 0
        self.stopped = StopLatch()
        self._refused_log = LimitedLog(SERVER)
        self._stop = ServerStop(self)
        registered = Registrations() if registrations is None else registrations
        self.drain = Drain(dispatcher, registered, settings.drain_delay_s, self._log_off)
        self._grace_end = NEVER
        self._hooks = hooks
        self._context = contextvars.copy_context()
        self.invoker = Invoker(self._context, self._start_parsed)
        self._bound_loop = loop
        self._stop_hooks = StopHooks(
            hooks, self._context, dispatcher, loop, self.loop_of_handlers, self.finish
        )
        self._idle_sweep: IdleSweep | None = None
        if settings.idle_timeout_s is not None:
            self._idle_sweep = IdleSweep(self.connections, dispatcher, settings.idle_timeout_s)
        self._message_sweep = PartialMessageSweep(
            self.connections, dispatcher, settings.message_timeout_s, settings.max_unanswered_bytes
        )
        self.pool = WorkerPool(dispatcher, self.invoker, settings.max_workers)
        self.handler_loop: HandlerLoop | None = None
        self._loop_watch = None if loop is None else LoopWatch(self._on_loop_end)
        self.acceptor: Any = None
        self.internal_port: InternalPort | None = None
        self.http: HttpFrontend | None = None
        self._new_frontend = new_frontend
        self._access_writer: AccessWriter | None = None
        if settings.access_log is not None:
            self._access_writer = AccessWriter(settings.access_log)
            access = AccessListener(self._access_writer)
            self.call_end.listeners += (access,)
            self.call_end.refusal_listeners += (access,)
            self.call_end.served_listeners += (access,)
        dump = settings.rpc_dump
        self._dump_writer = None if dump is None else DumpWriter(dump)
        self.variables = ServerVariables(self, self.connections)

    # --- the start ---

    def start_up(self) -> None:
        """Call the application's functions for the start. Raises what they raise. Blocks."""
        if self._bound_loop is None:
            self._hooks.start_up(self._context, self.loop_of_handlers)
        else:
            self._hooks.start_up_in_loop(self._context)
        self._stop_hooks.prepare()

    async def start_up_async(self) -> None:
        """`start_up` in the loop to which the server is bound."""
        await self._hooks.start_up_async(self._context)
        self._stop_hooks.prepare()

    def listen(self, where: Where, runtime: Runtime) -> None:
        """Listen, accept from now on, and register. Raises ListenError; AddressError if the server
        can't be registered with this address."""
        accepts = ACCEPTS_PER_TURN if self.settings.tls is None else COSTLY_ACCEPTS_PER_TURN
        shares = self.settings.reuse_port
        acceptor = new_acceptor(where, self.dispatcher, self._on_accepted, runtime, accepts, shares)
        self.acceptor = acceptor
        try:
            if self._new_frontend is not None:
                self.http = self._new_frontend(self)
                self.variables.count_mounts(self.http.mounts)
            if self.registry.has_async_methods and self.handler_loop is None:
                self.handler_loop = HandlerLoop(self.invoker, self._bound_loop)
            if self._idle_sweep is not None:
                self._idle_sweep.start()
            if self._access_writer is not None:
                self._access_writer.start()
            if self._dump_writer is not None:
                self._dump_writer.start()
            if self.settings.internal_port is not None:
                self._listen_internally(self.settings.internal_port, runtime)
            if self._loop_watch is not None:
                self._loop_watch.start()
            # Last: a descriptor that is polled can't be closed by `undo`.
            acceptor.start()
            if self.internal_port is not None:
                self.internal_port.start()
        except BaseException:
            acceptor.undo()
            if self.internal_port is not None:
                self.internal_port.undo()
            raise
        self.variables.expose(acceptor.endpoint)
        self._note_for_callers(where)
        if unserved := self.registry.unserved():
            names = ", ".join(unserved)
            SERVER.warning("The server on %s does not serve %s", acceptor.endpoint, names)
        try:
            self.drain.open(acceptor.endpoint)
        except BaseException:
            self.stop(time.monotonic())
            raise

    def _listen_internally(self, port: int, runtime: Runtime) -> None:
        accepted = partial(self._on_accepted, is_internal=True)
        where = self.acceptor.endpoint
        self.internal_port = InternalPort(port, where, self.dispatcher, accepted, runtime)

    def _note_for_callers(self, where: Where) -> None:
        """Let blocking calls find out that a loop has to answer them. Of a socket that was given,
        or a port that is shared, other processes may accept too."""
        if not isinstance(where, Endpoint) or self.settings.reuse_port:
            return
        if self._bound_loop is not None or self.registry.has_async_methods:
            endpoint = self.acceptor.endpoint
            note_server({endpoint, Endpoint(where.host, endpoint.port)}, self)

    def loop_that_answers(self, service: str, method: str) -> asyncio.AbstractEventLoop | None:
        """The loop without which a call can't be answered; `None` if it needs none. Any thread."""
        handler_loop = self.handler_loop
        if self._bound_loop is not None or handler_loop is None:
            return self._bound_loop
        loop: asyncio.AbstractEventLoop = handler_loop.loop
        return loop if self.registry.is_async(service, method) else None

    def loop_beside_dispatcher(self) -> asyncio.AbstractEventLoop | None:
        """The loop of async handlers, if there is one and the dispatcher does not run in it."""
        handler_loop = self.handler_loop
        if self._bound_loop is not None or handler_loop is None:
            return None
        loop: asyncio.AbstractEventLoop = handler_loop.loop
        return loop

    def give_up_start(self) -> None:
        """The start has failed: end as after a stop. Called again, it does nothing."""
        self._grace_end = min(self._grace_end, time.monotonic())
        # A stop that has begun has its own end.
        if not self.stopped.is_set and not self.admission.is_stopping:
            self.end()

    def new_context(self) -> contextvars.Context:
        return self.invoker.new_context()

    def loop_of_handlers(self) -> asyncio.AbstractEventLoop:
        handler_loop = self.handler_loop
        if handler_loop is None:
            handler_loop = self.handler_loop = HandlerLoop(self.invoker, self._bound_loop)
            if self.stopped.is_set:
                # The time of the functions for the end is over.
                handler_loop.close()
        loop: asyncio.AbstractEventLoop = handler_loop.loop
        return loop

    # --- in turns of the dispatcher, called by connections ---

    def new_exchange(self, connection: Any, protocol: Any) -> Any:
        if isinstance(protocol, HttpProtocol) and self.http is not None:
            return self.http.new_exchange(connection)
        return ServerCore.new_exchange(self, connection, protocol)

    def start_calls(self, connection: CallConnection, calls: list[ServerCall]) -> None:
        """Run admitted calls: inline, in workers, or in the loop of async handlers."""
        plain: list[ServerCall] = []
        async_calls: list[ServerCall] = []
        are_quick = True
        if self._dump_writer is not None and self._dump_writer.options.is_on():
            self._dump_writer.sample(connection.protocol.name, calls)
        for call in calls:
            entry = call.entry
            parses_long = call.parses_long()
            if entry.is_async and not parses_long:
                async_calls.append(call)
            elif entry.mean_s > SLOW_S and not entry.is_async:
                self.pool.submit_dedicated(plain_queue(connection), call)
            else:
                plain.append(call)
                are_quick = are_quick and entry.is_quick() and not parses_long
        if plain:
            self.pool.submit(plain_queue(connection), plain, are_quick)
        if async_calls:
            self._start_async(connection, async_calls)

    def _start_async(self, connection: CallConnection, calls: list[ServerCall]) -> None:
        queue = connection.async_calls
        if queue is None:
            queue = connection.async_calls = CallQueue()
        if self.handler_loop is not None:
            self.handler_loop.start_calls(queue, calls)

    def _start_parsed(self, call: ServerCall) -> None:
        """Start an async call whose request a worker has parsed. In the worker."""
        self._start_async(call.connection, [call])

    # --- from any thread ---

    @property
    def description(self) -> str:
        """ "running on 127.0.0.1:8000, 2 connections, 1 requests running", for people."""
        if self.stopped.is_set:
            return "stopped"
        state = "stopping" if self.is_stopping else "running"
        return (
            f"{state} on {self.acceptor.endpoint}, "
            f"{len(self.connections)} connections, {len(self.admission.running)} requests running"
            f"{self.drain.registrations.description()}"
        )

    @property
    def is_stopping(self) -> bool:
        """Whether a stop has begun, perhaps with a drain."""
        return self.admission.is_stopping or self.drain.has_begun

    def is_in_stop_hook(self) -> bool:
        """Whether the stop waits for a function of the application that runs in this thread."""
        return not self.stopped.is_set and self._stop_hooks.is_current()

    def review_stop(self) -> None:
        self._stop.review_soon()

    def forget(self, connection: Any) -> None:
        self.connections.discard(connection)
        if SERVER.wants_debug():
            SERVER.debug("the connection of %s has ended", connection.peer)
        if connection.calls:
            self._end_waiting(connection)
            self._cancel_running(list(connection.calls), self._why_canceled(connection))
        if self.admission.is_stopping:
            self._stop.review_soon()

    def _end_waiting(self, connection: CallConnection) -> None:
        """End the calls of a failed connection that wait for their turn: some now, the others in
        the next turns.

        Plain calls that run count under the limits until their handlers return.
        """
        while calls := self._take_waiting(connection):
            connection.end(calls)
            # With a dispatcher that is closed there are no next turns: all end now.
            with contextlib.suppress(DispatcherClosedError):
                self.dispatcher.post_cleanup(partial(self._end_waiting, connection))
                return

    def _take_waiting(self, connection: CallConnection) -> list[ServerCall]:
        """Take some calls of a connection that wait for their turn."""
        calls: list[ServerCall] = []
        if connection.plain_calls is not None:
            calls += self.pool.scheduler.remove(connection.plain_calls, MAX_ENDS)
        if connection.async_calls is not None and self.handler_loop is not None:
            calls += self.handler_loop.scheduler.remove(connection.async_calls, MAX_ENDS)
        return calls

    def _why_canceled(self, connection: CallConnection) -> str:
        """Why the calls of a failed connection are canceled, as the end of a sentence."""
        if self._stop.is_grace_over:
            return GRACE_OVER
        error = connection.socket.error
        return f"its connection failed: {'closed' if error is None else error.text}"

    def _cancel_running(self, calls: list[ServerCall], reason: str) -> None:
        """Cancel calls of a failed connection whose handlers may run: some now, the others in the
        next turns.

        An async handler is cancelled in its loop. A plain one goes on; only its nested calls end.
        """
        async_calls: list[ServerCall] = []
        for _ in range(min(MAX_ENDS, len(calls))):
            call = calls.pop()
            if not call.entry.cancel_handlers:
                continue
            if call.entry.is_async:
                async_calls.append(call)
            elif call.served is not None:
                call.served.cancel(reason, self._post_cleanup)
        if async_calls and self.handler_loop is not None:
            self.handler_loop.cancel(async_calls, reason)
        if calls:
            self._post_cleanup(partial(self._cancel_running, calls, reason))

    def _post_cleanup(self, function: Continuation) -> None:
        with contextlib.suppress(DispatcherClosedError):
            self.dispatcher.post_cleanup(function)

    def _log_off(self, grace_s: float | None) -> None:
        self.stop(deadline_after(grace_s))

    def stop(self, deadline: float) -> None:
        """Log off, or bring the end of a stop forward. Never blocks, takes no lock."""
        self.admission.is_stopping = True
        forget_server(self)
        self._grace_end = min(self._grace_end, deadline)
        self._stop.begin(deadline)

    def on_stop_begun(self) -> None:
        """Requests are refused: call the application's functions for the beginning of the stop."""
        self._stop_hooks.begin(self._grace_end)

    def end(self) -> None:
        """Nothing is left to wait for: call the application's functions for the end, `finish`."""
        self._stop_hooks.end(self._grace_end)

    def finish(self) -> None:
        """End the workers and the loop of handlers, and wake `join`."""
        if self._idle_sweep is not None:
            self._idle_sweep.end()
        self._message_sweep.end()
        if self.internal_port is not None:
            self.internal_port.close()
            self._stop.close_late_connections()
        forget_server(self)
        self.pool.close()
        if self.handler_loop is not None:
            self.handler_loop.close()
        if self._access_writer is not None:
            self._access_writer.close()
        if self._dump_writer is not None:
            self._dump_writer.close()
        if not self.variables.are_kept:
            self.variables.close()
        self.stopped.set()
        if self._loop_watch is not None:
            self._loop_watch.stop()

    async def _on_loop_end(self) -> None:
        """The loop of the server ends, though nobody has stopped the server."""
        self.drain.stop(0.0)
        self.stop(time.monotonic())
        await self.stopped.wait_async()

    def join_threads(self, deadline: float) -> None:
        """After `stopped` is set: wait for the threads that are not in a handler."""
        self.pool.join(deadline)
        if self.handler_loop is not None:
            self.handler_loop.join(deadline)
        if self._access_writer is not None:
            self._access_writer.join(deadline)
        if self._dump_writer is not None:
            self._dump_writer.join(deadline)

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(
            accepted=self.acceptor.accepted,
            requests=self.requests,
            errors=self.errors.get(),
            expired=self.invoker.expired.get(),
            refused_connections=self.refused_connections,
            connections=len(self.connections),
            running=len(self.admission.running),
            workers=self.pool.worker_count,
            streams=sum(connection.stream_count() for connection in list(self.connections)),
        )

    def unfinished(self) -> list[UnfinishedCall]:
        """The admitted calls that have no response, or whose responses are not queued yet."""
        calls = set(self.admission.running)
        for connection in list(self.connections):
            calls.update(list(connection.calls))
        return [call.unfinished() for call in calls]

    def unfinished_connections(self) -> list[UnfinishedConnection]:
        """The connections that are not closed yet."""
        return [connection.unfinished() for connection in list(self.connections)]

    def _on_accepted(self, sock: _socket.socket, is_internal: bool = False) -> None:
        limit = self.max_connections
        if 0 < limit <= len(self.connections):
            sock.close()
            self.refused_connections += 1
            where = self.acceptor.endpoint
            self._refused_log.warn("Close a new connection to %s: max_connections=%d", where, limit)
            return
        connection = ServerConnection(self, sock, is_internal)
        self.connections.add(connection)
        self._message_sweep.note_accepted()
        if SERVER.wants_debug():
            SERVER.debug("accepted %s, connections: %d", connection.peer, len(self.connections))
        if connection.is_gone():
            self.forget(connection)

    def __repr__(self) -> str:
        return f"<RunningServer, {self.description}>"


def plain_queue(connection: CallConnection) -> CallQueue:
    """The queue of the calls of `connection` that wait for workers."""
    queue = connection.plain_calls
    if queue is None:
        queue = connection.plain_calls = CallQueue()
    return queue
