"""ServerOptions, the arguments of Server, and ServerSettings, the checked value made of them."""

from __future__ import annotations

import dataclasses
import resource
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypedDict, cast

from pybrpc.base.checked_options import (
    checked_count,
    checked_count_or_none,
    checked_flag,
    checked_instance_or_none,
    checked_list,
    checked_text,
    shown,
)
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.import_gate import importing
from pybrpc.base.named_options import check_names, defaults_of
from pybrpc.builtin.server_view import HealthReporter
from pybrpc.json2pb import JsonOptions
from pybrpc.metrics.names import exposed_name
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, ParseLimits, RpcProtocol
from pybrpc.protocols.registry import all_protocols, check_protocol_object
from pybrpc.rpc.authenticator import Authenticator, check_verifier
from pybrpc.rpc.interceptors.interceptor import Interceptor, checked_interceptors
from pybrpc.server.access_log.access_log import AccessLog, checked_access_log
from pybrpc.server.http_safety import AllowedHosts, HttpSettings, Origins, checked_networks
from pybrpc.server.limiters.adaptive_max_concurrency import (
    NO_LIMIT,
    AdaptiveMaxConcurrency,
    MaxConcurrency,
    checked_max_concurrency,
)
from pybrpc.server.rpc_dump.rpc_dump import RpcDump, checked_rpc_dump
from pybrpc.transport.listening.listen import check_reuse_port
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.socket.setup import DEFAULT_HANDSHAKE_TIMEOUT_S
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.tls.server_tls import ServerTls, ServerTlsContexts

DEFAULT_GRACE_S = 5.0
DEFAULT_MESSAGE_TIMEOUT_S = 60.0
MAX_UNANSWERED_BYTES = 1 << 30
MAX_WORKERS = 256


class ProtocolService(Protocol):
    """A service that is no set of methods, and brings the protocol that carries it."""

    def new_protocol(self) -> Any:
        """The protocol, for one server. ValueError or TypeError if its options make no sense."""


class ServerOptions(TypedDict, total=False):
    """
    max_concurrency  requests that may run at once, over all connections; more are answered
                     with ELIMIT; 0: no limit. "auto", "timeout" and more: as for
                     `set_max_concurrency`, which limits one method. See docs/overload.md
    max_connections  connections at once; one more is accepted and closed at once; 0: no limit;
                     default: nine tenths of the files that the process may open at `start`
    idle_timeout     seconds after which a connection is closed on which no request runs, no
                     response waits to be written, and no message was completed: a message has
                     to arrive whole within this time of the one before. Default `None`: never
    handshake_timeout   seconds that TLS may take before an accepted connection is closed;
                     `None`: for ever; default 5
    message_timeout  seconds in which a message that has begun must be whole, and one more for
                     each 16 KiB that have come of it; else its connection is closed. The head
                     of an HTTP request has 10 seconds at most. `None`: for ever; default 60
    max_body_size    bytes of a request after its fixed header; a longer one is answered with
                     EREQUEST and its connection closed; default 64 MiB
    max_unanswered_bytes   bytes of requests that are admitted and not answered, 2 KiB more for
                     each, decompressed if they were compressed. A connection that holds a
                     quarter of it is not read meanwhile, nor one that holds 64 KiB while all
                     together hold more. Partial messages may hold as much once more. `None`:
                     no limit; default 1 GiB
    max_streams_unconsumed_bytes   bytes that the streams of one connection together may have sent
                     and the clients not consumed, before their windows shrink to `min_buf_size`
                     of their `StreamOptions`; 0, the default: they don't shrink
    max_workers      threads for plain handlers; more requests than that wait in a queue;
                     default 256
    cancel_handlers  whether async handlers are cancelled when the connection of their request
                     fails, or at its deadline; and whether the calls that any handler makes end
                     when that connection fails; default `True`. `set_method_options` sets it for
                     one method
    drop_expired     whether a request whose deadline has passed when its turn comes is answered
                     with ERPCTIMEDOUT instead of being run; default `True`. `set_method_options`
                     sets it for one method
    enabled_protocols   names, such as ["baidu_std"] or "baidu_std hulu_pbrpc"; others are not
                     understood. A protocol that is not registered is given itself instead of its
                     name. Default: all
    auth             judges the credential in the first request of each connection. Connections of
                     RTMP have none: `RtmpService.on_connect` judges them
    tls              certificates and how they are used; clients without TLS are then refused,
                     unless `ServerTls(allow_plaintext=True)`. TlsConfigError.
    interceptors     functions that run around each handler, the first one outermost, each called as
                     `intercept(call, proceed)` with an `InterceptedCall`; docs/interceptors.md
    access_log       `True`, or a `pybrpc.AccessLog`: one line for each call that has ended or was
                     refused, and for each other request of HTTP, logged by "pybrpc.access";
                     default `False`
    version          a text for /version, and for the title of the pages
    drain_delay      seconds for which a stop goes on to serve before it refuses requests, while
                     load balancers and clients of naming services turn to other servers; not longer
                     than the grace of the stop; default `None`: 2 if the server is registered, else
                     0. See `stop`
    health_reporter  a function without arguments that says on /health how the server is: `None` or
                     `True` for healthy, `False`, a text, or a `pybrpc.HealthReport`; it runs in a
                     thread of its own, may block, and what it raises is answered with 500
    server_info_name   the variables of the server are named rpc_server_<this>_..., instead of
                     rpc_server_<port>_...; default "": the port. See docs/metrics.md
    rpc_dump         a path, or a `pybrpc.RpcDump`: requests are sampled into files of this
                     directory, for `pybrpc replay` and C++ bRPC's rpc_replay; default `None`.
                     OSError of `start` if it can't be used
    rtmp_service     a `pybrpc.rtmp.RtmpService`: RTMP is understood too, on the same port
    cors             origins, such as ["https://app.example.com"], whose pages in a browser may use
                     the server by HTTP; "*" for all. Requests of other sites' pages are refused
    allowed_hosts    hosts, without port, under which HTTP is answered on the port of the server:
                     ["api.example.com", "*.corp.example", "10.0.0.7"]. Requests with another Host
                     get 421. Default `None`, or ["*"]: all hosts, so a name of somebody
                     else's DNS too. An empty list is refused
    builtin_services   whether there are pages at all; default `True`. Without more options, all
                     clients may see /, /health, /readiness, /version, /status, /vars, /metrics
    internal_port    another port, on the same host, for all pages and nothing else; 0: a free one,
                     `server.internal_endpoint` says which. Credentials are not asked for there
    builtin_allow    networks, such as ["10.0.0.0/8"], whose clients may use all pages on the port
                     of the server. A proxy on this host comes from its address: think before
                     adding "127.0.0.1"
    reuse_port       whether other processes of the same user may listen on the same port, which
                     use it too (SO_REUSEPORT); Linux spreads new connections over all of them.
                     NotImplementedError where the system has no such thing; default `False`
    options          of accepted connections
    runtime          whose dispatcher thread is used; default: the process's
    """

    max_concurrency: MaxConcurrency
    max_connections: int | None
    idle_timeout: float | None
    handshake_timeout: float | None
    message_timeout: float | None
    max_body_size: int
    max_unanswered_bytes: int | None
    max_streams_unconsumed_bytes: int
    max_workers: int
    cancel_handlers: bool
    drop_expired: bool
    enabled_protocols: Iterable[str | RpcProtocol]
    auth: Authenticator | None
    tls: ServerTls | ssl.SSLContext | None
    interceptors: Iterable[Callable[..., Any]]
    access_log: bool | AccessLog
    rpc_dump: str | RpcDump | None
    rtmp_service: ProtocolService | None
    cors: Iterable[str]
    allowed_hosts: Iterable[str] | None
    builtin_services: bool
    internal_port: int | None
    builtin_allow: Iterable[str]
    version: str
    drain_delay: float | None
    health_reporter: HealthReporter | None
    server_info_name: str
    reuse_port: bool
    options: SocketOptions | None
    runtime: Runtime | None


class ServiceOptions(TypedDict, total=False):
    """The keyword options of `Server.add_service`, which explains them."""

    partial: bool
    restful_mappings: str
    allow_default_url: bool
    allow_http_body_to_pb: bool
    json_options: JsonOptions | None


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSettings:
    """ServerOptions, checked, with their defaults. Times are in seconds."""

    max_concurrency: AdaptiveMaxConcurrency = NO_LIMIT
    max_connections: int | None = None
    idle_timeout_s: float | None = None
    handshake_timeout_s: float | None = DEFAULT_HANDSHAKE_TIMEOUT_S
    message_timeout_s: float | None = DEFAULT_MESSAGE_TIMEOUT_S
    limits: ParseLimits = dataclasses.field(default_factory=ParseLimits)
    max_unanswered_bytes: int | None = MAX_UNANSWERED_BYTES
    max_streams_unconsumed_bytes: int = 0
    max_workers: int = MAX_WORKERS
    cancel_handlers: bool = True
    drop_expired: bool = True
    protocols: Sequence[RpcProtocol] = dataclasses.field(default_factory=all_protocols)
    auth: Authenticator | None = dataclasses.field(default=None, repr=False)
    tls: ServerTlsContexts | None = None
    builtin_services: bool = True
    internal_port: int | None = None
    http: HttpSettings = dataclasses.field(default_factory=HttpSettings)
    interceptors: tuple[Interceptor, ...] = ()
    access_log: AccessLog | None = None
    rpc_dump: RpcDump | None = None
    version: str = ""
    drain_delay_s: float | None = None
    health_reporter: HealthReporter | None = None
    server_info_name: str = ""
    reuse_port: bool = False
    options: SocketOptions = dataclasses.field(default_factory=SocketOptions)
    runtime: Runtime | None = None

    @classmethod
    def of(cls, options: ServerOptions) -> ServerSettings:
        """Raises ValueError or TypeError for invalid options; TlsConfigError."""
        check_names("Server", options, ServerOptions)
        left: dict[str, Any] = dict(options)
        for name in ("idle_timeout", "handshake_timeout", "message_timeout"):
            if name in left:
                left[f"{name}_s"] = checked_server_timeout_s(left.pop(name), name)
        if "drain_delay" in left:
            left["drain_delay_s"] = checked_drain_delay_s(left.pop("drain_delay"))
        if "max_concurrency" in left:
            limit = left["max_concurrency"]
            left["max_concurrency"] = checked_max_concurrency("max_concurrency", limit)
        if "max_body_size" in left:
            left["limits"] = ParseLimits(
                checked_count("max_body_size", left.pop("max_body_size"), 1)
            )
        more = protocols_of_services(rtmp_service=left.pop("rtmp_service", None))
        left["protocols"] = protocols_named(left.pop("enabled_protocols", ()), more)
        left["http"] = HttpSettings(
            Origins(left.pop("cors", ())),
            checked_networks(left.pop("builtin_allow", ())),
            AllowedHosts(left.pop("allowed_hosts", None)),
        )
        left["interceptors"] = checked_interceptors(left.get("interceptors", ()))
        left["access_log"] = checked_access_log(left.get("access_log", False))
        left["rpc_dump"] = checked_rpc_dump(left.get("rpc_dump"))
        options_or_none = checked_instance_or_none("options", left.get("options"), SocketOptions)
        left["options"] = options_or_none or SocketOptions()
        if left.get("tls") is not None:
            left["tls"] = ServerTlsContexts(ServerTls.of(left["tls"]))
        return cls(**left)

    def __post_init__(self) -> None:
        checked_count_or_none("max_connections", self.max_connections)
        checked_count("max_workers", self.max_workers, 1)
        checked_count_or_none("max_unanswered_bytes", self.max_unanswered_bytes)
        checked_count("max_streams_unconsumed_bytes", self.max_streams_unconsumed_bytes)
        checked_flag("cancel_handlers", self.cancel_handlers)
        checked_flag("drop_expired", self.drop_expired)
        checked_flag("builtin_services", self.builtin_services)
        checked_count_or_none("internal_port", self.internal_port, 0, 65535)
        checked_drain_delay_s(self.drain_delay_s)
        if checked_flag("reuse_port", self.reuse_port):
            check_reuse_port()
        checked_info_name(self.server_info_name)
        checked_text("version", self.version)
        if self.health_reporter is not None and not callable(self.health_reporter):
            raise TypeError(f"health_reporter must be a function, not {self.health_reporter!r}")
        if self.auth is not None:
            check_verifier(self.auth)
        if self.runtime is not None and not isinstance(self.runtime, Runtime):
            raise TypeError(f"runtime must be a pybrpc.lowlevel.Runtime, not {self.runtime!r}")


SERVER_DEFAULTS = {
    **defaults_of(ServerSettings),
    "max_concurrency": 0,
    "idle_timeout": None,
    "handshake_timeout": DEFAULT_HANDSHAKE_TIMEOUT_S,
    "message_timeout": DEFAULT_MESSAGE_TIMEOUT_S,
    "drain_delay": None,
    "max_body_size": DEFAULT_MAX_BODY_SIZE,
    "enabled_protocols": (),
    "access_log": False,
    "rpc_dump": None,
    "rtmp_service": None,
    "cors": (),
    "allowed_hosts": None,
    "builtin_allow": (),
    "options": None,
}
"""The default of each option."""


def checked_info_name(name: str) -> str:
    """Return `name`, checked: "" or something that is left of it in the name of a variable."""
    if checked_text("server_info_name", name) and not exposed_name(name).strip("_"):
        raise ValueError(f"server_info_name={name!r} has no letter or digit of ASCII")
    return name


def checked_server_timeout_s(timeout: float | None, name: str) -> float | None:
    """Return `timeout`, checked: `None` or more than 0 seconds."""
    timeout_s = checked_timeout_s(timeout, name)
    if timeout_s == 0:
        raise ValueError(f"{name} must be None or more than 0 seconds")
    return timeout_s


def checked_drain_delay_s(delay: float | None) -> float | None:
    """Return `delay`, checked: a finite number of seconds, or `None` for the default."""
    delay_s = checked_timeout_s(delay, "drain_delay")
    if delay_s is None and delay is not None:
        raise ValueError(f"drain_delay must be a finite number of seconds, not {delay!r}")
    return delay_s


def connections_there_is_room_for() -> int:
    """Nine tenths of the files that this process may open now; 0 if there is no limit.

    The rest is for other files of the process: logs, connections to other servers.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else max(1, soft * 9 // 10)


def protocols_of_services(**services: ProtocolService | None) -> Sequence[RpcProtocol]:
    """The protocols of the services that were given. TypeError for what is no such service."""
    found = []
    for name, service in services.items():
        if service is None:
            continue
        if isinstance(service, type) or not callable(getattr(service, "new_protocol", None)):
            kind = name.replace("_service", "").capitalize() + "Service"
            raise TypeError(f"{name} must be None or an object of {kind}, not {shown(service)}")
        found.append(_given(service.new_protocol()))
    return found


def protocols_named(
    names: Iterable[str | RpcProtocol], more: Sequence[RpcProtocol] = ()
) -> Sequence[RpcProtocol]:
    """Find the protocols with `names`; all, and `more` of services, if there are no names.

    "a b", as in C++, is ["a", "b"]. A protocol may stand for its name.
    """
    wanted = names.split() if isinstance(names, str) else names
    items: tuple[object, ...] = checked_list(
        "enabled_protocols", wanted, cast("type", object), "names of protocols"
    )
    with importing:
        every = (*all_protocols(), *more)
    known = {protocol.name: protocol for protocol in every}
    found: dict[str, RpcProtocol] = {}
    for item in items:
        protocol = _named(item, known) if isinstance(item, str) else _given(item)
        if found.setdefault(protocol.name, protocol) is not protocol:
            raise ValueError(f"enabled_protocols has two protocols named {protocol.name!r}")
    for protocol in more:
        if found and protocol.name not in found:
            raise ValueError(
                f"the server has a service of {protocol.name}: name {protocol.name!r} in "
                "enabled_protocols too, or none"
            )
    return list(found.values()) or every


def _named(name: str, known: dict[str, RpcProtocol]) -> RpcProtocol:
    if name not in known:
        raise ValueError(
            f"unknown protocol {name!r} in enabled_protocols; known: {', '.join(known)}"
        )
    return known[name]


def _given(item: object) -> RpcProtocol:
    if not callable(getattr(item, "detect", None) or getattr(item, "parse", None)):
        raise TypeError(f"enabled_protocols must be a list of names of protocols; {item!r} is none")
    check_protocol_object(item)
    return cast("RpcProtocol", item)
