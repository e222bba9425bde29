"""ChannelBase: the base of the blocking and the asyncio channel."""

from __future__ import annotations

import dataclasses
import sys
import warnings
import weakref
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from pybrpc.base.checked_options import checked_instance
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.flags import OnceFlag
from pybrpc.base.import_gate import importing
from pybrpc.base.named_options import check_names, shows_options
from pybrpc.base.public_dir import public_dir
from pybrpc.base.wake_list import WakeList
from pybrpc.client.channel.options import (
    CHANNEL_DEFAULTS,
    ChannelOptions,
    ChannelSettings,
    Timeout,
    UseChannelTimeout,
)
from pybrpc.client.channel.servers import Servers, servers_of
from pybrpc.client.cluster.server_status import ServerStatus, status_of_one
from pybrpc.client.connections.connection import ConnectionStatistics, sum_of
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.auto_connections import AutoConnections
from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.settings import EndpointStatistics, SourceSettings
from pybrpc.client.endpoints.short_connections import ShortConnections
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ChannelClosedError
from pybrpc.rpc.controller import Controller
from pybrpc.transport.connecting.resolver import prepare_look_ups
from pybrpc.transport.runtime import default_runtime

if TYPE_CHECKING:
    import asyncio

    from pybrpc.client.channel.cluster_options import ClusterOptions
    from pybrpc.client.channel.http_part import HttpPart
    from pybrpc.client.cluster.cluster_source import ClusterSource
    from pybrpc.rpc.interceptors.interceptor import Interceptor
    from pybrpc.rpc.method import Method
    from pybrpc.rpc.raw_method import RawMethod

    ChannelSource = SourceBase | ClusterSource
    """Where the calls of a channel get their connections."""

_SOURCES = {
    "auto": AutoConnections,
    "single": SingleConnections,
    "pooled": PooledConnections,
    "short": ShortConnections,
}

_OF_LIBRARY = frozenset(
    {
        "binding",
        "call_options",
        "check_open",
        "close_waiters",
        "connect_timeout_s",
        "encoding",
        "endpoints",
        "forget_open_source",
        "http_part",
        "make_method",
        "method_as_sent",
        "open_binding",
        "open_source",
        "source",
        "source_of_blocking",
        "timeout_of_call",
    }
)
"""Attributes of channels that are not for users."""


class Lease:
    """One use of shared connections by one channel; ends with `end()` or with the channel."""

    __slots__ = ("end", "source")

    def __init__(self, source: ChannelSource, end: weakref.finalize[Any, Any]) -> None:
        self.source = source
        self.end = end


class ChannelBase:
    """An address, defaults for calls to it, and the connections that it shares with others.

    Making one connects nothing and costs microseconds. All channels of a process to the same
    address, with the same options for connections, share them (per asyncio loop, if a loop polls
    them); the last one that is closed or collected closes them. One that is collected while it
    holds connections gives a ResourceWarning.
    """

    _public_name = "pybrpc.Channel"
    _not_offered: frozenset[str] = frozenset()
    """Methods that a subclass refuses."""
    _is_closed = True  # if the constructor raises
    _leases: list[Lease]

    @shows_options(ChannelOptions, CHANNEL_DEFAULTS, "pybrpc.Channel")
    def __init__(self, address: Servers | Endpoint, **options: Unpack[ChannelOptions]) -> None:
        check_names(self._public_name, options, ChannelOptions)
        settings = ChannelSettings.of(options)
        self._cluster: ClusterOptions | None = None
        self.endpoint: Endpoint | None = None
        """The address; `None` for a channel to several servers."""
        servers = servers_of(address)
        if servers is not None:
            with importing:
                from pybrpc.client.channel.cluster_options import ClusterOptions

            self._cluster = ClusterOptions(servers, settings)
        else:
            settings.check_has_one_server()
            self.endpoint = Endpoint.parse(address)  # type: ignore[arg-type]
            if self.endpoint.has_port and not self.endpoint.is_ip:
                prepare_look_ups()
        self.timeout_s = settings.timeout_s
        self.call_options = settings.call_options
        self._interceptors = settings.checked_interceptors
        for interceptor in self._interceptors:
            self._check_kind(interceptor)
        self.encoding = settings.encoding
        self._http_part: HttpPart | None = None
        if settings.http_content_type is not None:
            with importing:
                from pybrpc.client.channel.http_part import HttpPart

            self._http_part = HttpPart(settings.http_content_type, settings.json_options)
        self._source_settings = settings.source_settings
        self._factory = settings.connection_factory(self.endpoint)
        self.connect_timeout_s = self._factory.connect_timeout_s
        self._leases = []
        self.close_waiters = WakeList()
        self._is_closed = False

    def _check_kind(self, interceptor: Interceptor) -> None:
        """TypeError if it can't run around calls of this channel."""
        from pybrpc.rpc.interceptors.interceptor import Kind

        where = "by a pybrpc.Channel, whose calls run in threads"
        interceptor.check_is_no(Kind.ASYNC, where, "a plain function")

    @property
    def address(self) -> str:
        """Where its calls go, as text; long lists of servers are cut."""
        return str(self.endpoint) if self._cluster is None else self._cluster.name

    @property
    def is_closed(self) -> bool:
        """Whether `close()` was called. A closed channel makes no calls."""
        return self._is_closed

    def method_as_sent(self, method: Method | RawMethod) -> Method | RawMethod:
        """`method`, with requests that are encoded as this channel asks."""
        if self._http_part is not None:
            method = self._http_part.method_as_sent(method)
        if self.encoding == method.encoding:
            return method
        return method.with_encoding(self.encoding)

    def http_part(self) -> HttpPart:
        """ValueError if the channel speaks another protocol."""
        if self._http_part is None:
            raise ValueError(f'{self!r} does not speak HTTP: make it with protocol="http"')
        return self._http_part

    def timeout_of_call(
        self, timeout: Timeout, controller: Controller | None = None
    ) -> float | None:
        """The timeout in seconds of a call that asks for `timeout`, or whose controller does.

        ValueError if both do; TypeError if `controller` is none.
        """
        return timeout_of_call(self.timeout_s, timeout, controller)

    @property
    def _used_source(self) -> ChannelSource | None:
        """The source of the last call's connection; `None` before the first call."""
        raise NotImplementedError

    def endpoint_statistics(self) -> EndpointStatistics | None:
        """How many connections there are, and how many calls wait for one; `None` before the
        first call."""
        source = self._used_source
        return None if source is None else source.statistics()

    def endpoints(self) -> Sequence[Endpoint]:
        """The addresses that a call may get now; none before a cluster is known. Any thread."""
        if self.endpoint is not None:
            return (self.endpoint,)
        source = self._used_source
        return () if source is None else source.endpoints()

    def servers(self) -> list[ServerStatus]:
        """The state of each server of a cluster, in the order of the naming service; of the one
        server of another channel. Empty before the first call, and while no list has come. Any
        thread, never blocks."""
        source = self._used_source
        if isinstance(source, SourceBase):
            return [status_of_one(source.endpoint, source.statistics(), source.why_down)]
        return [] if source is None else source.servers()

    def _share(self, loop: asyncio.AbstractEventLoop | None) -> Lease:
        """A use of the connections that `loop`, or the dispatcher thread, polls."""
        self.check_open()
        key, make = self._source(loop)
        source = default_runtime().connections.acquire(key, make)
        has_ended = OnceFlag()
        try:
            finalizer = weakref.finalize(self, _release_once, source, has_ended)
            finalizer.atexit = False
            lease = Lease(source, finalizer)
            self._leases.append(lease)
        except BaseException:  # of a signal handler, or without memory: nobody would end this use
            _release_once(source, has_ended)
            raise
        return lease

    def _source(
        self, loop: asyncio.AbstractEventLoop | None
    ) -> tuple[Hashable, Callable[[], ChannelSource]]:
        """The key, equal for channels that share connections, and a function that makes the
        source of the connections."""
        cluster = self._cluster
        settings = self._source_settings
        if cluster is not None:
            # Without a reference to this channel, which would never be collected.
            acquire = partial(_acquire_source, settings)
            return (cluster, loop), lambda: cluster.source_of(loop, acquire)
        return _source_of_one(settings, self._connection_factory(loop))

    def _connection_factory(self, loop: asyncio.AbstractEventLoop | None) -> ConnectionFactory:
        return dataclasses.replace(self._factory, loop=loop)

    def _end_lease(self, lease: Lease) -> None:
        self._leases.remove(lease)
        lease.end()

    def _release(self) -> None:
        self._is_closed = True
        for lease in list(self._leases):
            lease.end()
        self.close_waiters.wake_all()

    def check_open(self) -> None:
        """ChannelClosedError once it is closed."""
        if self._is_closed:
            raise self._closed_error()

    def _closed_error(self) -> ChannelClosedError:
        return ChannelClosedError(f"{self!r} was closed; make a new channel")

    def __del__(
        self,
        warn: Callable[..., None] = warnings.warn,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if not self._is_closed and self._leases and not is_finalizing():
            warn(f"unclosed channel {self!r}", ResourceWarning, source=self)

    def __dir__(self) -> list[str]:
        return public_dir(self, _OF_LIBRARY | self._not_offered)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        timeout = "none" if self.timeout_s is None else f"{self.timeout_s:g} s"
        return f"<{type(self).__name__} to {self.address}, {state}, timeout {timeout}>"


def _release_once(source: ChannelSource, has_ended: OnceFlag) -> None:
    if has_ended.try_set():
        source.release()


def _source_of_one(
    settings: SourceSettings, factory: ConnectionFactory
) -> tuple[Hashable, Callable[[], SourceBase]]:
    """The key and the maker of the connections to one server."""
    make = _SOURCES[settings.connection_type]
    return (factory, settings), lambda: make(factory, settings)


def _acquire_source(settings: SourceSettings, factory: ConnectionFactory) -> SourceBase:
    """The connections to one server of a cluster, for one more user."""
    key, make = _source_of_one(settings, factory)
    source: SourceBase = default_runtime().connections.acquire(key, make)
    return source


def statistics_of(source: ChannelSource | None) -> ConnectionStatistics | None:
    """The sum of the statistics of a source's connections; `None` before the first call."""
    connections = source.connections if source is not None else []
    return sum_of([connection.statistics() for connection in connections])


def timeout_of_call(
    channel_timeout_s: float | None, timeout: Timeout, controller: Controller | None
) -> float | None:
    """See `ChannelBase.timeout_of_call`. `channel_timeout_s`: that of the channel."""
    timeout_ms = None
    if controller is not None:
        timeout_ms = checked_instance("controller", controller, Controller).timeout_ms
    if not isinstance(timeout, UseChannelTimeout):
        if timeout_ms is not None:
            raise ValueError(
                f"give either timeout={timeout!r}, in seconds, or controller.timeout_ms="
                f"{timeout_ms!r}, not both"
            )
        return checked_timeout_s(timeout)
    if timeout_ms is None:
        return channel_timeout_s
    return None if timeout_ms < 0 else checked_timeout_s(timeout_ms / 1000)
