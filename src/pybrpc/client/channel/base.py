"""Channel: where calls go. The base of the blocking and the asyncio channel."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypedDict

from pybrpc.base.backoff import Backoff
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.endpoint import Endpoint
from pybrpc.client.calls.backup_policy import BackupRequestPolicy, after_s_of
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.retry import (
    DEFAULT_MAX_RETRY,
    DEFAULT_RETRY_POLICY,
    RetryPolicy,
    checked_max_retry,
)
from pybrpc.client.connections.authentication import checked_authenticator
from pybrpc.client.connections.connection import ConnectionStatistics, sum_of
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.endpoint_health import DEFAULT_DIAL_BACKOFF
from pybrpc.client.endpoints.health_check import HealthCheck
from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.settings import ConnectionType, EndpointStatistics, SourceSettings
from pybrpc.client.endpoints.short_connections import ShortConnections
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ChannelClosedError
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, ParseLimits
from pybrpc.rpc.body_encoding import checked_encoding
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.setup import DEFAULT_CONNECT_TIMEOUT_S
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.tls.client_tls import ClientTls

if TYPE_CHECKING:
    from pybrpc.rpc.authenticator import Authenticator
    from pybrpc.rpc.method import Method

DEFAULT_TIMEOUT_S = 0.5

_SOURCES = {
    "single": SingleConnections,
    "pooled": PooledConnections,
    "short": ShortConnections,
}


class UseChannelTimeout:
    """The type of `CHANNEL_TIMEOUT`."""

    def __repr__(self) -> str:
        return "CHANNEL_TIMEOUT"


CHANNEL_TIMEOUT = UseChannelTimeout()
"""As `timeout=` of a call: take the channel's."""

Timeout = float | UseChannelTimeout | None


class ChannelOptions(TypedDict, total=False):
    """The keyword options of both channels; `pybrpc.Channel` explains them."""

    timeout: float | None
    connect_timeout: float | None
    max_retry: int
    retry_policy: RetryPolicy | None
    backup_request_ms: float | None
    backup_request_policy: BackupRequestPolicy | None
    wait_for_ready: bool
    connection_type: ConnectionType
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
    options: SocketOptions | None


class Lease:
    """One use of a shared connection by one channel; ends with `end()` or with the channel."""

    __slots__ = ("end", "source")

    def __init__(self, source: SourceBase, end: weakref.finalize[Any, Any]) -> None:
        self.source = source
        self.end = end


class ChannelBase:
    """An address, defaults for calls to it, and the connection that it shares with others.

    Making one connects nothing and costs microseconds. All channels of a process to the same
    address, with the same options for connections, share them (per asyncio loop, if a loop drives
    them); the last one that is closed or collected closes them.
    """

    def __init__(
        self,
        address: str | Endpoint,
        *,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT_S,
        max_retry: int = DEFAULT_MAX_RETRY,
        retry_policy: RetryPolicy | None = None,
        backup_request_ms: float | None = None,
        backup_request_policy: BackupRequestPolicy | None = None,
        wait_for_ready: bool = False,
        connection_type: ConnectionType = "single",
        connections: int = 1,
        max_pool_size: int | None = None,
        connection_group: str = "",
        idle_timeout: float | None = None,
        dial_backoff: Backoff | None = DEFAULT_DIAL_BACKOFF,
        health_check: HealthCheck | None = None,
        auth: Authenticator | None = None,
        tls: ClientTls | ssl.SSLContext | bool | None = None,
        compress_type: int = CompressType.NONE,
        checksum_type: int = ChecksumType.NONE,
        checksum_with_attachment: bool = False,
        max_body_size: int = DEFAULT_MAX_BODY_SIZE,
        options: SocketOptions | None = None,
    ) -> None:
        self.endpoint = Endpoint.parse(address)
        self.timeout_s = checked_timeout_s(timeout)
        self.connect_timeout_s = checked_timeout_s(connect_timeout, "connect_timeout")
        self.call_options = CallOptions(
            checked_max_retry(max_retry),
            retry_policy or DEFAULT_RETRY_POLICY,
            backup_policy_of(backup_request_ms, backup_request_policy),
            wait_for_ready,
            max_body_size,
        )
        self.encoding = checked_encoding(compress_type, checksum_type, checksum_with_attachment)
        self._source_settings = SourceSettings(
            connection_type,
            connections,
            max_pool_size,
            checked_timeout_s(idle_timeout, "idle_timeout"),
            dial_backoff,
            health_check,
        )
        if wait_for_ready and dial_backoff is None:
            raise ValueError("wait_for_ready waits for background dials: give a dial_backoff")
        self._group = connection_group.strip()
        self._auth = checked_authenticator(auth)
        self._tls = ClientTls.of(tls)
        if self._tls is not None:
            self._tls.check(self.endpoint)
        self._limits = ParseLimits(max_body_size=max_body_size)
        self._options = options or SocketOptions()
        self._leases: list[Lease] = []
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def method_as_sent(self, method: Method) -> Method:
        """`method`, with requests that travel as this channel says."""
        if self.encoding == method.encoding:
            return method
        return method.with_encoding(self.encoding)

    def timeout_of_call(self, timeout: Timeout) -> float | None:
        """The seconds that a call gets which asks for `timeout`."""
        if isinstance(timeout, UseChannelTimeout):
            return self.timeout_s
        return checked_timeout_s(timeout)

    @property
    def _used_source(self) -> SourceBase | None:
        """Where the last call got its connection from; `None` before the first."""
        raise NotImplementedError

    def endpoint_statistics(self) -> EndpointStatistics | None:
        """How many connections there are, who waits for one; `None` before the first call."""
        source = self._used_source
        return None if source is None else source.statistics()

    def _share(self, loop: asyncio.AbstractEventLoop | None) -> Lease:
        """A use of the connection that `loop`, or the dispatcher thread, drives."""
        if self._is_closed:
            raise self._closed_error()
        key, make = self._source(loop)
        source = default_runtime().connections.acquire(key, make)
        finalizer = weakref.finalize(self, source.release)
        finalizer.atexit = False
        lease = Lease(source, finalizer)
        self._leases.append(lease)
        return lease

    def _source(
        self, loop: asyncio.AbstractEventLoop | None
    ) -> tuple[Hashable, Callable[[], SourceBase]]:
        """What must be equal to share connections, and how to make the source of them."""
        maker = self._maker(loop)
        settings = self._source_settings
        make = _SOURCES[settings.connection_type]
        return (maker, settings), lambda: make(maker, settings)

    def _maker(self, loop: asyncio.AbstractEventLoop | None) -> ConnectionFactory:
        return ConnectionFactory(
            self.endpoint,
            loop,
            self._limits,
            self._options,
            self._group,
            self.connect_timeout_s,
            self._auth,
            self._tls,
        )

    def _give_back(self, lease: Lease) -> None:
        self._leases.remove(lease)
        lease.end()

    def _release(self) -> None:
        self._is_closed = True
        for lease in list(self._leases):
            lease.end()

    def _closed_error(self) -> ChannelClosedError:
        return ChannelClosedError(f"{self!r} was closed; make a new channel")

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        timeout = "none" if self.timeout_s is None else f"{self.timeout_s:g} s"
        return f"<{type(self).__name__} to {self.endpoint}, {state}, timeout {timeout}>"


def backup_policy_of(
    after_ms: float | None, policy: BackupRequestPolicy | None
) -> BackupRequestPolicy | None:
    """The policy that a channel was given, or made from its `backup_request_ms`."""
    if policy is None:
        return None if after_ms is None else BackupRequestPolicy(after_s_of(after_ms))
    if after_ms is not None:
        raise ValueError("give either backup_request_ms or backup_request_policy, not both")
    return policy


def statistics_of(source: SourceBase | None) -> ConnectionStatistics | None:
    """What the connections of a source have done; `None` before the first call."""
    connections = source.connections if source is not None else []
    return sum_of([connection.statistics() for connection in connections])
