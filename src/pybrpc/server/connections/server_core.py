"""ServerCore: what the connections of a running server share.

Settings, services, limits and counters. RunningServer, above the connections, adds the parts that
run calls and that stop the server.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog
from pybrpc.metrics.reducers import Counter
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.call_end import CallEnd
from pybrpc.server.calls.interfaces import CallConnection
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.limiters.new_limiter import new_limiter
from pybrpc.server.settings import ServerSettings
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.writing.process_backlog import ProcessBacklog


class ServerCore:
    """Used in turns of the dispatcher, but for `call_end` and `errors`."""

    __slots__ = (
        "admission",
        "auth_log",
        "bad_input_log",
        "call_end",
        "dispatcher",
        "errors",
        "has_idle_timeout",
        "non_service_errors",
        "process_backlog",
        "registry",
        "requests",
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
        self.has_idle_timeout = settings.idle_timeout_s is not None
        self.requests = 0
        self.errors = atomic_counter()
        """Requests that were answered with an error."""
        self.non_service_errors = Counter(help="Requests refused before their method was looked at")
        """Those of them that no method is to blame for."""
        self.admission = Admission(registry, new_limiter(settings.max_concurrency))
        self.call_end = CallEnd(self.admission, self.errors)
        self.unanswered = ProcessBacklog(settings.max_unanswered_bytes)
        """Bytes of the admitted requests of all connections."""
        self.auth_log = LimitedLog(SERVER)
        self.bad_input_log = LimitedLog(SERVER)

    # --- for RunningServer to define ---

    def start_calls(self, connection: CallConnection, calls: list[ServerCall]) -> None:
        """Run calls of `connection` that were admitted, each where its handler belongs."""

    def new_exchange(self, connection: CallConnection, protocol: Any) -> Any:
        """The Exchange of a connection whose first message has come; `None` if its protocol is made
        of calls. In a turn."""
        make = getattr(protocol, "new_exchange", None)
        return None if make is None else make(connection)

    def new_context(self) -> Context:
        """A context for a function of the user, with what those for the start have set. Any
        thread."""
        raise NotImplementedError

    def loop_of_handlers(self) -> asyncio.AbstractEventLoop:
        """The loop of async handlers; it is started if there is none. RuntimeError if no thread can
        be started."""
        raise NotImplementedError

    def review_stop(self) -> None:
        """Calls have ended while the server is stopping. Any thread."""

    def forget(self, connection: CallConnection) -> None:
        """A connection has failed or was closed. Any thread."""
