"""The options of channels: ChannelOptions as they are given, ChannelSettings as they are used.

To add an option: a line in each of the two classes, and one in the docstring of `pybrpc.Channel`;
CONTRIBUTING.md has the other steps.

What only some channels need (TLS, HTTP, clusters) is imported when an option or the address asks
for it: by the constructor of the channel, so that calls import nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict, cast

from pybrpc.base.backoff import Backoff
from pybrpc.base.checked_options import (
    checked_count,
    checked_flag,
    checked_instance_or_none,
    checked_text,
)
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.import_gate import importing
from pybrpc.base.named_options import check_names, defaults_of
from pybrpc.client.calls.backup_policy import BackupRequestPolicy, after_s_of
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.retry import (
    DEFAULT_MAX_RETRY,
    DEFAULT_RETRY_POLICY,
    RetryPolicy,
    checked_max_retry,
)
from pybrpc.client.cluster.breaking.retry_budget import RetryBudget
from pybrpc.client.connections.authentication import checked_authenticator
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.endpoint_health import DEFAULT_DIAL_BACKOFF
from pybrpc.client.endpoints.health_check import HealthCheck
from pybrpc.client.endpoints.settings import ConnectionType, SourceSettings
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, ParseLimits, RpcProtocol
from pybrpc.protocols.registry import all_protocols, protocol_named
from pybrpc.protocols.traits import (
    CONNECTION_TYPES,
    HTTP_KIND,
    carries_credential,
    connection_types_of,
    kind_of,
)
from pybrpc.rpc.body_encoding import BodyEncoding, checked_encoding
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.transport.socket.setup import DEFAULT_CONNECT_TIMEOUT_S
from pybrpc.transport.socket_options import SocketOptions

if TYPE_CHECKING:
    import ssl

    from pybrpc.client.cluster.balancing.cluster_recover import ClusterRecover
    from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
    from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
    from pybrpc.json2pb.options import JsonOptions
    from pybrpc.naming import ServerNode
    from pybrpc.rpc.authenticator import Authenticator
    from pybrpc.rpc.http_bodies import HttpContentType
    from pybrpc.rpc.interceptors.interceptor import Interceptor
    from pybrpc.transport.tls.client_tls import ClientTls

DEFAULT_TIMEOUT_S = 0.5
DEFAULT_RETRY_BUDGET = RetryBudget()
CLUSTER_OPTIONS = (
    "load_balancer",
    "circuit_breaker",
    "cluster_recover",
    "retry_budget",
    "server_filter",
)
"""Those that a channel with one address does not take."""


class UseChannelTimeout:
    """The type of `CHANNEL_TIMEOUT`."""

    def __repr__(self) -> str:
        return "CHANNEL_TIMEOUT"


CHANNEL_TIMEOUT = UseChannelTimeout()
"""As `timeout=` of a call: use the timeout of the channel."""

Timeout = float | UseChannelTimeout | None


class ChannelOptions(TypedDict, total=False):
    """The keyword options of both channels; `pybrpc.Channel` explains them."""

    protocol: str
    timeout: float | None
    connect_timeout: float | None
    max_retry: int
    retry_policy: RetryPolicy | None
    backup_request_ms: float | None
    backup_request_policy: BackupRequestPolicy | None
    wait_for_ready: bool
    connection_type: ConnectionType | None
    connections: int
    max_pool_size: int | None
    connection_group: str
    idle_timeout: float | None
    dial_backoff: Backoff | None
    health_check: HealthCheck | None
    auth: Authenticator | None
    tls: ClientTls | ssl.SSLContext | bool | None
    compress_type: int
    checksum_type: int
    checksum_with_attachment: bool
    max_body_size: int
    max_streams_unconsumed_bytes: int
    json_options: JsonOptions | None
    interceptors: Iterable[Callable[..., Any]]
    options: SocketOptions | None
    load_balancer: str | LoadBalancer | None
    circuit_breaker: CircuitBreaker | bool
    cluster_recover: ClusterRecover | None
    retry_budget: RetryBudget | None
    server_filter: Callable[[ServerNode], object] | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ChannelSettings:
    """The ChannelOptions of one channel with their defaults, sorted by the parts that use them.

    Checked when made: a ValueError or a TypeError says what is allowed.
    """

    protocol: str = "baidu_std"
    timeout: float | None = DEFAULT_TIMEOUT_S
    connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT_S
    max_retry: int = DEFAULT_MAX_RETRY
    retry_policy: RetryPolicy | None = None
    backup_request_ms: float | None = None
    backup_request_policy: BackupRequestPolicy | None = None
    wait_for_ready: bool = False
    connection_type: ConnectionType | None = None
    connections: int = 1
    max_pool_size: int | None = None
    connection_group: str = ""
    idle_timeout: float | None = None
    dial_backoff: Backoff | None = DEFAULT_DIAL_BACKOFF
    health_check: HealthCheck | None = None
    auth: Authenticator | None = dataclasses.field(default=None, repr=False)
    tls: ClientTls | ssl.SSLContext | bool | None = None
    compress_type: int = CompressType.NONE
    checksum_type: int = ChecksumType.NONE
    checksum_with_attachment: bool = False
    max_body_size: int = DEFAULT_MAX_BODY_SIZE
    max_streams_unconsumed_bytes: int = 0
    json_options: JsonOptions | None = None
    interceptors: Iterable[Callable[..., Any]] = ()
    options: SocketOptions | None = None
    load_balancer: str | LoadBalancer | None = None
    circuit_breaker: CircuitBreaker | bool = True
    cluster_recover: ClusterRecover | None = None
    retry_budget: RetryBudget | None = DEFAULT_RETRY_BUDGET
    server_filter: Callable[[ServerNode], object] | None = None

    timeout_s: float | None = dataclasses.field(init=False)
    call_options: CallOptions = dataclasses.field(init=False)
    encoding: BodyEncoding = dataclasses.field(init=False)
    source_settings: SourceSettings = dataclasses.field(init=False)
    http_content_type: HttpContentType | None = dataclasses.field(init=False)
    """How messages are sent in bodies of HTTP; `None` for another protocol."""
    checked_interceptors: tuple[Interceptor, ...] = dataclasses.field(init=False)

    @classmethod
    def of(cls, options: ChannelOptions) -> ChannelSettings:
        """Raises ValueError or TypeError for invalid options."""
        check_names("Channel", options, ChannelOptions)
        return cls(**options)

    def __post_init__(self) -> None:
        checked_count("max_body_size", self.max_body_size, 1)
        checked_count("max_streams_unconsumed_bytes", self.max_streams_unconsumed_bytes)
        checked_text("connection_group", self.connection_group)
        checked_instance_or_none("options", self.options, SocketOptions)
        protocol, content_type = _protocol_and_form(self.protocol)
        if self.json_options is not None:
            _check_json_options(self.json_options, protocol, content_type)
        parts = {
            "http_content_type": content_type,
            "timeout_s": checked_timeout_s(self.timeout),
            "call_options": self._call_options(),
            "encoding": checked_encoding(
                self.compress_type, self.checksum_type, self.checksum_with_attachment
            ),
            "source_settings": self._source_settings(protocol),
            "checked_interceptors": _checked_interceptors(self.interceptors),
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)
        if self.wait_for_ready and self.dial_backoff is None:
            raise ValueError("wait_for_ready waits for background dials: give a dial_backoff too")

    def connection_factory(self, endpoint: Endpoint | None) -> ConnectionFactory:
        """Makes the connections to `endpoint` that the dispatcher thread polls. `None`: it will be
        given later.

        Loads the files of TLS. Raises a ValueError or a TypeError as the constructor does.
        """
        tls = self._client_tls()
        if tls is not None:
            tls.check(endpoint)
        protocol = self._protocol()
        return _factory_type(protocol)(
            endpoint or _ANY_ENDPOINT,
            limits=ParseLimits(max_body_size=self.max_body_size),
            options=self.options or SocketOptions(),
            group=self.connection_group.strip(),
            connect_timeout_s=checked_timeout_s(self.connect_timeout, "connect_timeout"),
            auth=checked_authenticator(self.auth),
            tls=tls,
            protocol=protocol,
            max_streams_unconsumed_bytes=self.max_streams_unconsumed_bytes,
        )

    def check_has_one_server(self) -> None:
        """ValueError if an option was given that is for clusters only."""
        for name in CLUSTER_OPTIONS:
            if getattr(self, name) != CHANNEL_DEFAULTS[name]:
                raise ValueError(
                    f"{name} is for several servers: give the channel a list of addresses, or a "
                    'URL such as "list://10.0.0.1:8000,10.0.0.2:8000"'
                )

    def _client_tls(self) -> ClientTls | None:
        if self.tls is None or self.tls is False:
            return None
        with importing:
            from pybrpc.transport.tls.client_tls import ClientTls

        return ClientTls.of(self.tls)

    def _protocol(self) -> RpcProtocol:
        protocol, _ = _protocol_and_form(self.protocol)
        if self.auth is not None and not carries_credential(protocol):
            raise ValueError(f"leave out auth: {protocol.name} has no place for a credential")
        return protocol

    def _call_options(self) -> CallOptions:
        return CallOptions(
            checked_max_retry(self.max_retry),
            checked_instance_or_none("retry_policy", self.retry_policy, RetryPolicy)
            or DEFAULT_RETRY_POLICY,
            backup_policy_of(self.backup_request_ms, self.backup_request_policy),
            checked_flag("wait_for_ready", self.wait_for_ready),
            self.max_body_size,
        )

    def _source_settings(self, protocol: RpcProtocol) -> SourceSettings:
        return SourceSettings(
            self._connection_type(protocol),
            self.connections,
            self.max_pool_size,
            checked_timeout_s(self.idle_timeout, "idle_timeout"),
            self.dial_backoff,
            self.health_check,
        )

    def _connection_type(self, protocol: RpcProtocol) -> ConnectionType:
        allowed = connection_types_of(protocol)
        wanted = allowed[0] if self.connection_type is None else self.connection_type
        if wanted in CONNECTION_TYPES and wanted not in allowed:
            names = " or ".join(map(repr, allowed))
            raise ValueError(f"{protocol.name} needs the connection_type {names}, not {wanted!r}")
        return cast(ConnectionType, wanted)


_ANY_ENDPOINT = Endpoint("", 0)
"""Stands for the servers of a cluster."""

CHANNEL_DEFAULTS = defaults_of(ChannelSettings)
"""The default of each option."""


def _protocol_and_form(name: str) -> tuple[RpcProtocol, HttpContentType | None]:
    """The protocol that `name` names, such as "http:proto"; how HTTP carries messages, if it is
    that. bRPC: http_derivatives.md."""
    if not isinstance(name, str):
        return protocol_named(name), None
    base, mark, form = name.partition(":")
    with importing:
        protocol = protocol_named(name if base != HTTP_KIND else base)
    if base != HTTP_KIND:
        return protocol, None
    kinds = _http_forms()
    if mark and form not in kinds:
        known = ", ".join(f'"{base}:{each}"' for each in kinds)
        raise ValueError(f"unknown protocol {name!r}; of http there are {known}")
    return protocol, kinds[form or "json"]


def protocol_names() -> list[str]:
    """The names that the option `protocol` takes: those of all protocols, and the forms of http."""
    names = [protocol.name for protocol in all_protocols()]
    return [*names, *(f"{HTTP_KIND}:{form}" for form in _http_forms())]


def default_connection_type(protocol: str) -> ConnectionType:
    """The `connection_type` of a channel that names none. ValueError for an unknown protocol."""
    return cast(ConnectionType, connection_types_of(_protocol_and_form(protocol)[0])[0])


def _http_forms() -> dict[str, HttpContentType]:
    with importing:
        from pybrpc.rpc.http_bodies import HttpContentType

    return {kind.value.removeprefix("application/"): kind for kind in HttpContentType}


def _check_json_options(
    given: object, protocol: RpcProtocol, content_type: HttpContentType | None
) -> None:
    with importing:
        from pybrpc.json2pb.options import JsonOptions

    checked_instance_or_none("json_options", given, JsonOptions)
    if content_type is None:
        raise ValueError(f"leave out json_options: {protocol.name} sends no JSON")


def _checked_interceptors(interceptors: Iterable[Any]) -> tuple[Interceptor, ...]:
    if type(interceptors) is tuple and not interceptors:
        return ()
    with importing:
        from pybrpc.rpc.interceptors.interceptor import checked_interceptors

    return checked_interceptors(interceptors)


def _factory_type(protocol: RpcProtocol) -> type[ConnectionFactory]:
    if kind_of(protocol) != HTTP_KIND:
        return ConnectionFactory
    with importing:
        from pybrpc.client.connections.http_connection_factory import HttpConnectionFactory

    return HttpConnectionFactory


def backup_policy_of(
    after_ms: float | None, policy: BackupRequestPolicy | None
) -> BackupRequestPolicy | None:
    """The policy that a channel was given, or one made from its `backup_request_ms`."""
    checked_instance_or_none("backup_request_policy", policy, BackupRequestPolicy)
    if policy is None:
        return None if after_ms is None else BackupRequestPolicy(after_s_of(after_ms))
    if after_ms is not None:
        raise ValueError("give either backup_request_ms or backup_request_policy, not both")
    return policy
