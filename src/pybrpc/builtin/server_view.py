"""ServerView: what pages know of the server whose port they are on. Values, and one interface.

Names of peers, services and methods, and texts of errors, are chosen by others: pages escape them.
No value here has a credential.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from google.protobuf.descriptor import ServiceDescriptor


@dataclass(frozen=True, slots=True)
class MethodView:
    """A method of a service."""

    name: str
    full_name: str
    """Package, service and method; "*" for the generic service, "/app" for an application."""
    request_type: str
    """Full name of the message; "" for the generic service and an application."""
    response_type: str
    urls: tuple[str, ...] = ()
    """Paths of HTTP that are mapped to it."""
    max_concurrency: int = 0
    """0: no limit of its own."""
    concurrency: int = 0
    """Requests that run."""
    is_async: bool = False
    limiter: str = ""
    """Kind of its limit: "constant", "auto", "timeout", or the name of a class; "" without one."""
    rejected: int = 0
    """Requests that its limit has refused."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service that is served."""

    name: str
    full_name: str
    methods: tuple[MethodView, ...]


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A connection: accepted by the server, or made by a channel of this process."""

    socket_id: int
    remote_side: str
    local_side: str
    protocol: str
    """Empty before its first bytes."""
    tls: str
    """Version of TLS; empty without it."""
    fd: int
    """-1 if it has none now."""
    age_s: float
    in_bytes: int
    """Bytes and messages since it was made."""
    in_messages: int
    out_bytes: int
    out_messages: int
    rtt_ms: float
    """Round-trip time that the kernel has measured, and how much it varies; 0 if unknown."""
    rtt_var_ms: float
    unwritten_bytes: int
    concurrency: int
    """Requests on it without a response; calls that wait, of a channel's."""
    streams: int
    state: str
    """One of "open", "half-closed", "closing", "gone" or "connecting"."""
    error: str = ""
    """Why it has failed."""


@dataclass(frozen=True, slots=True)
class CallView:
    """A request without a response yet."""

    call_id: str
    """The ids of its socket and of the request: "12-7"."""
    method: str
    peer: str
    age_s: float
    remaining_s: float | None
    """Seconds to its deadline, negative after it; `None` without a deadline."""
    connection: str
    """State of its connection."""
    socket_id: int
    log_id: int
    request_bytes: int
    """Body and attachment."""


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """The entry of the server in a naming service."""

    url: str
    """The naming service, without passwords and tokens."""
    node: str
    """Address and tag, as clients get them; "" before they are known."""
    is_registered: bool
    error: str = ""
    """The last failure, also if it works again; "" if there was none."""
    failures: int = 0
    """Requests in a row that have failed."""

    def __str__(self) -> str:
        state = "registered" if self.is_registered else "not registered"
        node = f" as {self.node}" if self.node else ""
        error = f" ({self.error})" if self.error and self.failures else ""
        return f"{state}{node} at {self.url}{error}"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The answer of a function of the user: the health of the server."""

    is_healthy: bool
    """Whether the page /health answers 200; else 503."""
    text: str = "OK"
    """The body of that answer."""


HealthReporter: TypeAlias = Callable[[], HealthReport | bool | str | None]
"""A function of the user; it may raise anything."""


class ServerView(Protocol):
    """A server that runs. All may be asked in any thread; nothing blocks but `health`."""

    @property
    def address(self) -> str:
        """ "127.0.0.1:8000"."""

    @property
    def version(self) -> str:
        """The text that the application has set; "" if none."""

    @property
    def metric_prefix(self) -> str:
        """Names of its variables begin with this and "_": "rpc_server_8000"."""

    @property
    def worker_name(self) -> str:
        """ "worker 2 (pid 71)" if it is one of several processes; else ""."""

    @property
    def is_stopping(self) -> bool:
        """Whether it is to get no new requests any more: a stop has begun. It may still answer them
        for a while."""

    @property
    def started_at_s(self) -> float:
        """Seconds since the epoch."""

    @property
    def max_concurrency(self) -> int:
        """0: no limit."""

    @property
    def limiter(self) -> str:
        """Kind of that limit: "constant", "auto", "timeout", or the name of a class; "" without
        one."""

    @property
    def rejected(self) -> int:
        """Requests that the limit has refused."""

    @property
    def concurrency(self) -> int:
        """Requests that run."""

    @property
    def connection_count(self) -> int:
        """Connections that are open."""

    def counters(self) -> Sequence[tuple[str, int]]:
        """Counts since the start, by name: requests, errors, expired, ..."""

    def options(self) -> Sequence[tuple[str, str]]:
        """Options of the server that may be shown, by name."""

    def services(self) -> Sequence[ServiceView]:
        """The services of the user."""

    def mounts(self) -> Sequence[MethodView]:
        """The mounted applications of the user, by their paths: `full_name` is "/app"."""

    def registrations(self) -> Sequence[RegistrationView]:
        """The entries of the server in naming services."""

    def descriptors(self) -> Sequence[ServiceDescriptor]:
        """Descriptors of the services, as far as they are known."""

    def connections(self, limit: int) -> Sequence[ConnectionView]:
        """At most `limit` of the accepted connections."""

    def channel_connections(self, limit: int) -> Sequence[ConnectionView]:
        """At most `limit` of the connections of all channels in this process."""

    def connection(self, socket_id: int) -> ConnectionView | None:
        """The connection of any socket of this process; `None` if it has failed or is gone."""

    def socket_count(self) -> int:
        """Sockets of this process that have not failed."""

    def calls(self, limit: int) -> Sequence[CallView]:
        """At most `limit` of the requests without a response, the oldest first."""

    @property
    def health_reporter(self) -> HealthReporter | None:
        """A function of the user that answers /health; it may raise anything."""
