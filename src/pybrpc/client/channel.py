"""Channel: where calls go. The base of the blocking and the asyncio channel."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Hashable
from typing import Any, TypedDict

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.endpoint import Endpoint
from pybrpc.client.connection import ClientConnection, ConnectionStatistics
from pybrpc.client.retry import DEFAULT_MAX_RETRY
from pybrpc.errors import ChannelClosedError
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, ParseLimits
from pybrpc.transport.message_cutter import MessageCutter
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket import DEFAULT_CONNECT_TIMEOUT_S, Socket
from pybrpc.transport.socket_map import SharedConnection
from pybrpc.transport.socket_options import SocketOptions

DEFAULT_TIMEOUT_S = 0.5

Shared = SharedConnection[ClientConnection]


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
    max_body_size: int
    options: SocketOptions | None


class Lease:
    """One use of a shared connection by one channel; ends with `end()` or with the channel."""

    __slots__ = ("end", "shared")

    def __init__(self, shared: Shared, end: weakref.finalize[Any, Any]) -> None:
        self.shared = shared
        self.end = end


class ChannelBase:
    """An address, defaults for calls to it, and the connection that it shares with others.

    Making one connects nothing and costs microseconds. All channels of a process to the same
    address, with the same `max_body_size` and socket options, share one connection (per asyncio
    loop, if a loop drives it); the last one that is closed or collected closes it.
    """

    def __init__(
        self,
        address: str | Endpoint,
        *,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT_S,
        max_retry: int = DEFAULT_MAX_RETRY,
        max_body_size: int = DEFAULT_MAX_BODY_SIZE,
        options: SocketOptions | None = None,
    ) -> None:
        self.endpoint = Endpoint.parse(address)
        self.timeout_s = checked_timeout_s(timeout)
        self.connect_timeout_s = checked_timeout_s(connect_timeout, "connect_timeout")
        if isinstance(max_retry, bool) or not isinstance(max_retry, int) or max_retry < 0:
            raise ValueError(f"max_retry must be a whole number >= 0, not {max_retry!r}")
        self.max_retry = max_retry
        self._limits = ParseLimits(max_body_size=max_body_size)
        self._options = options or SocketOptions()
        self._leases: list[Lease] = []
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def timeout_of_call(self, timeout: Timeout) -> float | None:
        """The seconds that a call gets which asks for `timeout`."""
        if isinstance(timeout, UseChannelTimeout):
            return self.timeout_s
        return checked_timeout_s(timeout)

    def _share(self, loop: asyncio.AbstractEventLoop | None) -> Lease:
        """A use of the connection that `loop`, or the dispatcher thread, drives."""
        if self._is_closed:
            raise ChannelClosedError(f"{self!r} was closed; make a new channel")
        key: Hashable = (self.endpoint, loop, self._limits, self._options)
        make = _ConnectionMaker(
            self.endpoint, loop, self._limits, self._options, self.connect_timeout_s
        )
        shared: Shared = default_runtime().connections.acquire(key, make)
        finalizer = weakref.finalize(self, shared.release)
        finalizer.atexit = False
        lease = Lease(shared, finalizer)
        self._leases.append(lease)
        return lease

    def _give_back(self, lease: Lease) -> None:
        self._leases.remove(lease)
        lease.end()

    def _release(self) -> None:
        self._is_closed = True
        for lease in list(self._leases):
            lease.end()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        timeout = "none" if self.timeout_s is None else f"{self.timeout_s:g} s"
        return f"<{type(self).__name__} to {self.endpoint}, {state}, timeout {timeout}>"


class _ConnectionMaker:
    """Makes the (unconnected) connection of a place; called again after each failure."""

    __slots__ = ("_connect_timeout_s", "_endpoint", "_limits", "_loop", "_options")

    def __init__(
        self,
        endpoint: Endpoint,
        loop: asyncio.AbstractEventLoop | None,
        limits: ParseLimits,
        options: SocketOptions,
        connect_timeout_s: float | None,
    ) -> None:
        self._endpoint = endpoint
        self._loop = loop
        self._limits = limits
        self._options = options
        self._connect_timeout_s = connect_timeout_s

    def __call__(self) -> ClientConnection:
        # The Runtime of now: after a fork it is another one than when the place was made.
        runtime = default_runtime()
        loop = self._loop
        socket = Socket.to(
            self._endpoint,
            runtime.dispatcher if loop is None else runtime.dispatcher_of(loop),
            options=self._options.or_else(runtime.default_socket_options),
            cutter=MessageCutter(self._limits, protocol=BAIDU_STD),
            connect_timeout_s=self._connect_timeout_s,
        )
        connection = ClientConnection(socket, BAIDU_STD)
        socket.set_user(connection)
        return connection


def statistics_of(shared: Shared | None) -> ConnectionStatistics | None:
    """What the connection of a place has done; `None` before the first call."""
    connection = shared.current if shared is not None else None
    return connection.statistics() if connection is not None else None
