"""MountedApplication: an application of ASGI that answers all paths behind a prefix."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from pybrpc.base.checked_options import checked_count, checked_text, why_not_called
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.server.http.asgi.cycle import Cycle
from pybrpc.server.http.asgi.http_cycle import HttpCycle
from pybrpc.server.http.asgi.lifespan import Lifespan
from pybrpc.server.http.asgi.observed import MountCounts
from pybrpc.server.http.asgi.scope import AsgiApplication, scope_of, websocket_scope_of
from pybrpc.server.http.asgi.websocket_cycle import WebSocketCycle, handshake_of
from pybrpc.server.http.exchange import HttpExchange, Refusal
from pybrpc.server.http.request import BodySink, HttpRequest

MAX_WEBSOCKET_MESSAGE_SIZE = 1024 * 1024
"""Bytes of a message of a websocket, by default."""

DONE_S = 3.0
"""Seconds that applications have to end after they were cancelled."""


class MountedApplication:
    """A Target. `begin` in turns, the functions for start and end in the loop of async handlers."""

    def __init__(
        self, prefix: str, application: AsgiApplication, max_websocket_message_size: int
    ) -> None:
        self.prefix = prefix
        """Its `root_path`: "/app"; "" at "/"."""
        self._application = application
        self._max_message_size = max_websocket_message_size
        self._lifespan = Lifespan(application, prefix or "/")
        self._running: set[Cycle] = set()
        self.counts = MountCounts(prefix)

    def begin(self, exchange: HttpExchange, request: HttpRequest) -> BodySink | None:
        """Start the application for one request. Raises Refusal."""
        connection = exchange.connection
        server = connection.server
        if server.admission.is_stopping:
            raise Refusal("The server stops", ErrorCode.ELOGOFF, 503)
        try:
            loop = server.loop_of_handlers()
            if request.head.upgrade == "websocket":
                return self._begin_websocket(exchange, request, loop)
            scope = scope_of(connection, request, self.prefix, self._lifespan.state)
            application, running = self._application, self._running
            cycle = HttpCycle(application, exchange, request, scope, running, self.counts)
        except RpcError as error:  # the connection has just failed
            raise Refusal(error.text, error.code) from None
        cycle.start(loop)
        return cycle.queue

    def _begin_websocket(
        self, exchange: HttpExchange, request: HttpRequest, loop: asyncio.AbstractEventLoop
    ) -> BodySink | None:
        handshake = handshake_of(request, self._max_message_size)
        connection = exchange.connection
        scope = websocket_scope_of(connection, request, self.prefix, self._lifespan.state)
        application, running = self._application, self._running
        counts = self.counts
        cycle = WebSocketCycle(application, exchange, request, scope, running, counts, handshake)
        cycle.start(loop)
        return cycle.request_body

    @property
    def running(self) -> int:
        """Requests that run. Any thread."""
        return len(self._running)

    def run(self, exchange: HttpExchange, request: HttpRequest, calls: list[Any]) -> None:
        """Not used: `begin` returns a sink."""
        raise RuntimeError("the body of a mounted application has a sink")

    async def start_up(self) -> None:
        """For `Server.on_startup`."""
        await self._lifespan.start_up()

    async def shut_down(self) -> None:
        """For `Server.on_shutdown`: end what still runs, then the application."""
        tasks = {each.task for each in list(self._running) if each.task is not None}
        for each in list(self._running):
            each.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=DONE_S)
        await self._lifespan.shut_down()

    def __repr__(self) -> str:
        return f"<MountedApplication {self.prefix or '/'}, {len(self._running)} running>"


def checked_mount(
    path: str, application: AsgiApplication, max_websocket_message_size: int
) -> MountedApplication:
    """The application, if it can be mounted there. ValueError or TypeError."""
    path = checked_text("path", path)
    is_plain = path.isascii() and not any(char in path for char in "%?#*{} ")
    prefix = path.removesuffix("/") if path == "/" else path
    if not path.startswith("/") or prefix.endswith("/") or "//" in path or not is_plain:
        raise ValueError(f'the path of a mount is like "/app", not {path!r}')
    if not callable(application) or inspect.isclass(application):
        raise TypeError(f"an application of ASGI 3 is called, and {application!r} can't be")
    if mismatch := why_not_called(application, "scope", "receive", "send"):
        raise TypeError(f"an application of ASGI 3 is called with three arguments: {mismatch}")
    size = checked_count("max_websocket_message_size", max_websocket_message_size, 1)
    return MountedApplication(prefix, application, size)
