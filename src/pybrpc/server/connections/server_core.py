"""ServerCore: what the connections of a running server share.

Settings, services, limits and counters. RunningServer, above the connections, adds the parts that
run calls and that stop the server.
"""

from __future__ import annotations

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.limited_log import LimitedLog
from pybrpc.errors import LimitReachedError, RpcError, ServerStoppingError
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls.interfaces import AdmittedCall, CallConnection
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.settings import ServerSettings
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.writing.process_backlog import ProcessBacklog


class ServerCore:
    """Used in turns of the dispatcher, but for `release_limits` and `errors`."""

    __slots__ = (
        "auth_log",
        "bad_input_log",
        "dispatcher",
        "errors",
        "has_idle_timeout",
        "is_stopping",
        "max_concurrency",
        "process_backlog",
        "registry",
        "requests",
        "running",
        "settings",
        "unanswered",
    )

    def __init__(
        self,
        registry: ServiceRegistry,
        settings: ServerSettings,
        dispatcher: EventDispatcher,
        process_backlog: ProcessBacklog,
    ) -> None:
        self.registry = registry
        self.settings = settings
        self.dispatcher = dispatcher
        self.process_backlog = process_backlog
        self.max_concurrency = settings.max_concurrency
        self.has_idle_timeout = settings.idle_timeout_s is not None
        self.running: set[ServerCall] = set()
        """Admitted calls whose responses are not ready: those that `max_concurrency` limits."""
        self.requests = 0
        self.errors = atomic_counter()
        self.is_stopping = False
        self.unanswered = ProcessBacklog(settings.max_unanswered_bytes)
        """Bytes of the admitted requests of all connections."""
        self.auth_log = LimitedLog()
        self.bad_input_log = LimitedLog()

    def is_full(self) -> bool:
        limit = self.max_concurrency
        return bool(limit) and len(self.running) >= limit

    def admit(self, call: ServerCall) -> None:
        """Count `call` under its limits."""
        self.running.add(call)
        if call.entry.max_concurrency:
            call.entry.running.add(call)

    def rejection(self, request: RpcRequest) -> RpcError:
        """The error of a request that is not admitted.

        The reasons in the order of bRPC: stopping, limit, service and method, limit of the method.
        """
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

    def release_limits(self, calls: list[AdmittedCall]) -> None:
        """The responses of `calls` are ready: release the concurrency limits. Any thread."""
        self.running.difference_update(calls)
        for call in calls:
            if call.entry.running:
                call.entry.running.discard(call)

    # --- for RunningServer to define ---

    def start_calls(self, calls: list[ServerCall]) -> None:
        """Run calls that were admitted, each where its handler belongs."""

    def review_stop(self) -> None:
        """Calls have ended while the server is stopping. Any thread."""

    def forget(self, connection: CallConnection) -> None:
        """A connection has failed or was closed. Any thread."""
