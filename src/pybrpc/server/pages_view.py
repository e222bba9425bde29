"""PagesView: a running server, as its pages see it."""

from __future__ import annotations

import heapq
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.builtin.server_view import (
    CallView,
    ConnectionView,
    HealthReporter,
    MethodView,
    RegistrationView,
    ServiceView,
)
from pybrpc.metrics.names import to_underscored_name
from pybrpc.server.calls.call_end import received_bytes_of
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.http.frontend import HttpFrontend
from pybrpc.server.http.router import Mount
from pybrpc.server.lifecycle.running_server import RunningServer
from pybrpc.server.routing.routes import Routes
from pybrpc.server.settings import ServerSettings
from pybrpc.tracing.ids import as_unsigned
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_table import SOCKETS, SocketId

_OBJECTS = ("auth", "options", "runtime", "tls")
"""Settings that are objects; that they are None says little."""
_Shown = bool | int | float | None
"""Settings of these types are shown; in others there may be a secret."""


class PagesView:
    """The ServerView of one run of a server. Made once it listens."""

    def __init__(
        self,
        run: RunningServer,
        *,
        version: str = "",
        metric_prefix: str = "",
        worker_name: str = "",
        health_reporter: HealthReporter | None = None,
        urls_of: Callable[[MethodEntry], tuple[str, ...]] | None = None,
    ) -> None:
        """`metric_prefix`: how the names of its variables begin, if it is not that of its port.
        `urls_of` says which paths of HTTP are mapped to a method, beside "/Service/Method"."""
        self._run = run
        self.version = version
        self.worker_name = worker_name
        self.health_reporter = health_reporter
        self.started_at_s = time.time()
        endpoint: Endpoint = run.acceptor.endpoint
        name = f"rpc_server_{endpoint.port or endpoint.host}"
        self._metric_prefix = metric_prefix
        self._default_prefix = to_underscored_name(name)
        self._address = str(endpoint)
        self._urls_of = urls_of

    @property
    def address(self) -> str:
        """See `ServerView`; so for all methods."""
        return self._address

    @property
    def metric_prefix(self) -> str:
        return self._metric_prefix or self._run.variables.stem or self._default_prefix

    @property
    def is_stopping(self) -> bool:
        return self._run.admission.is_stopping or not self._run.drain.is_ready

    @property
    def max_concurrency(self) -> int:
        return self._run.admission.max_concurrency

    @property
    def limiter(self) -> str:
        limiter = self._run.admission.limiter
        return "" if limiter is None else limiter.name

    @property
    def rejected(self) -> int:
        return self._run.admission.rejected

    @property
    def concurrency(self) -> int:
        return len(self._run.admission.running)

    @property
    def connection_count(self) -> int:
        return len(self._run.connections)

    def counters(self) -> list[tuple[str, int]]:
        found = self._run.statistics()
        names = ("requests", "errors", "expired", "accepted", "refused_connections", "workers")
        return [(name, getattr(found, name)) for name in (*names, "streams")]

    def options(self) -> list[tuple[str, str]]:
        settings = self._run.settings
        values = ((name, getattr(settings, name)) for name in ServerSettings.__slots__)
        shown = [(name, _shown(value)) for name, value in values if isinstance(value, _Shown)]
        limit = self._run.max_connections
        return [
            *(pair for pair in shown if pair[0] not in ("max_connections", *_OBJECTS)),
            ("max_concurrency", str(settings.max_concurrency)),
            ("max_connections", _shown(limit)),
            ("max_body_size", _shown(settings.limits.max_body_size)),
            ("protocols", " ".join(protocol.name for protocol in settings.protocols)),
            ("tls", "off" if settings.tls is None else "on"),
            ("auth", "off" if settings.auth is None else "on"),
            ("pid", str(os.getpid())),
        ]

    def registrations(self) -> list[RegistrationView]:
        return self._run.drain.registrations.views()

    # --- services ---

    def services(self) -> list[ServiceView]:
        running = Counter(call.entry for call in list(self._run.admission.running))
        found: dict[str, list[MethodView]] = {}
        for entry in self._run.registry.entries():
            service = entry.full_name.rpartition(".")[0] or entry.full_name
            found.setdefault(service, []).append(self._method_view(entry, running[entry]))
        return [
            ServiceView(service.rpartition(".")[2], service, tuple(methods))
            for service, methods in found.items()
        ]

    def mounts(self) -> list[MethodView]:
        http = self._run.http
        targets = [] if http is None else [mount.target for mount in http.mounts]
        return [
            MethodView(name, name, "", "", concurrency=target.running, is_async=True)
            for name, target in ((target.counts.full_name, target) for target in targets)
        ]

    def _method_view(self, entry: MethodEntry, concurrency: int) -> MethodView:
        return MethodView(
            entry.full_name.rpartition(".")[2],
            entry.full_name,
            "" if entry.is_generic else entry.request_type.full_name,
            "" if entry.is_generic else entry.response_type.full_name,
            () if self._urls_of is None else self._urls_of(entry),
            entry.max_concurrency,
            concurrency,
            entry.is_async,
            "" if entry.limiter is None else entry.limiter.name,
            entry.rejected,
        )

    def descriptors(self) -> list[ServiceDescriptor]:
        found: dict[str, ServiceDescriptor] = {}
        for entry in self._run.registry.entries():
            service = entry.full_name.rpartition(".")[0]
            if entry.is_generic or service in found:
                continue
            try:
                pool: Any = entry.request_type.message_class.DESCRIPTOR.file.pool
                found[service] = pool.FindServiceByName(service)
            except KeyError:
                continue
        return list(found.values())

    # --- connections and calls ---

    def connections(self, limit: int) -> list[ConnectionView]:
        found = sorted(self._run.connections, key=_socket_id)
        return [view_of(connection.socket) for connection in found[:limit]]

    def channel_connections(self, limit: int) -> list[ConnectionView]:
        found = (socket for socket in SOCKETS.all() if _is_of_channel(socket))
        return [view_of(socket) for socket in islice(found, limit)]

    def connection(self, socket_id: int) -> ConnectionView | None:
        socket = Socket.address(SocketId(socket_id))
        return None if socket is None else view_of(socket)

    def socket_count(self) -> int:
        return len(SOCKETS)

    def calls(self, limit: int) -> list[CallView]:
        calls: Iterable[ServerCall] = list(self._run.admission.running)
        oldest = heapq.nsmallest(limit, calls, key=_received_at)
        now = time.monotonic()
        return [_view_of_call(call, now) for call in oldest]


def _shown(value: _Shown) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _socket_id(connection: ServerConnection) -> int:
    return connection.socket.id


def _received_at(call: ServerCall) -> float:
    return call.received_at


def _is_of_channel(socket: Socket) -> bool:
    """Whether a channel has made it: its user counts calls that wait."""
    return hasattr(socket.user, "in_flight")


def view_of(socket: Socket) -> ConnectionView:
    """A socket for pages. Any thread; what it says is not one snapshot."""
    user: Any = socket.user
    counts = socket.statistics()
    tls, error, trip = socket.tls, socket.error, socket.round_trip()
    is_of_server = isinstance(user, ServerConnection)
    if is_of_server:
        concurrency, streams, state = len(user.calls), user.stream_count(), user.state
    else:
        concurrency, streams = getattr(user, "in_flight", 0), 0
        state = "open" if socket.is_connected else "connecting"
    return ConnectionView(
        socket_id=socket.id,
        remote_side=str(socket.remote_side or ""),
        local_side=str(socket.local_side or ""),
        protocol=socket.session.name,
        tls="" if tls is None else tls.version,
        fd=socket.fd,
        age_s=time.monotonic() - socket.made_at,
        in_bytes=counts.bytes_read,
        in_messages=counts.messages_read,
        out_bytes=counts.bytes_written,
        out_messages=counts.messages_written,
        rtt_ms=0.0 if trip is None else trip.rtt_ms,
        rtt_var_ms=0.0 if trip is None else trip.var_ms,
        unwritten_bytes=counts.backlog_bytes,
        concurrency=concurrency,
        streams=streams,
        state=state if error is None else "gone",
        error="" if error is None else error.text,
    )


def _view_of_call(call: ServerCall, now: float) -> CallView:
    return CallView(
        call_id=f"{call.connection.socket.id}-{call.request.correlation_id}",
        method=call.full_name(),
        peer=call.connection.peer,
        age_s=now - call.received_at,
        remaining_s=None if call.deadline == NEVER else call.deadline - now,
        connection=call.connection.state,
        socket_id=call.connection.socket.id,
        log_id=as_unsigned(call.request.log_id or 0),
        request_bytes=received_bytes_of(call),
    )


def new_frontend(
    settings: ServerSettings,
    routes: Routes,
    mounts: Sequence[Mount],
    worker_name: str,
    run: RunningServer,
) -> HttpFrontend:
    """Make all that a running server has for HTTP. It does not refer to the Server, which may be
    dropped while it runs."""

    def urls_of(entry: MethodEntry) -> tuple[str, ...]:
        service, _, method = entry.full_name.rpartition(".")
        return routes.urls_of(service, method)

    view = PagesView(
        run,
        version=settings.version,
        worker_name=worker_name,
        health_reporter=settings.health_reporter,
        urls_of=urls_of,
    )
    return HttpFrontend(view, routes, settings.http, mounts, settings.max_workers)
