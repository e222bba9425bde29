"""ServerConnections: the connections to the servers of a cluster, for as long as they are used.

A server gets its source with its first attempt: a long list of which few servers are called costs
little, and garbage collections of the process have less to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import safe_repr
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ErrorCode, Phase, make_rpc_error

AcquireSource = Callable[[Endpoint], SourceBase]
"""Gives the source of the connections to an address, for one more user, which must release it."""


class ServerListener(Protocol):
    """Wants to know what becomes of servers. Any thread."""

    def on_server_changed(self, server: ClusterServer) -> None:
        """It went down or came up, or there is room for a call."""


class _Watcher:
    """A SourceWatcher of one server."""

    __slots__ = ("_listener", "_server")

    def __init__(self, listener: ServerListener, server: ClusterServer) -> None:
        self._listener = listener
        self._server = server

    def on_source_changed(self) -> None:
        self._listener.on_server_changed(self._server)


class ServerConnections:
    """Any thread. A source is released once, by the first caller that asks."""

    __slots__ = ("_acquire", "_held", "_is_closed", "_listener")

    def __init__(self, acquire: AcquireSource, listener: ServerListener) -> None:
        self._acquire = acquire
        self._listener = listener
        self._held: dict[ClusterServer, tuple[SourceBase, _Watcher]] = {}
        self._is_closed = False

    def connect(self, server: ClusterServer) -> SourceBase:
        """The source of `server`, for an attempt that has begun and not ended. Raises the RpcError
        of a call that can get none."""
        try:
            source = self._acquire(server.node.endpoint)
        except Exception as error:
            text = f"{server.node} can't be connected: {safe_repr(error)}"
            raise make_rpc_error(
                ErrorCode.EINTERNAL, text, phase=Phase.QUEUED, peer=str(server.node.endpoint)
            ) from error
        watcher = _Watcher(self._listener, server)
        source.add_watcher(watcher)
        held, its_watcher = self._held.setdefault(server, (source, watcher))
        server.source = held
        if its_watcher is not watcher:  # Another thread has connected it just now.
            source.remove_watcher(watcher)
            source.release()
            return held
        if source.why_down is not None:  # Another channel has found that out.
            self._listener.on_server_changed(server)
        if self._is_closed:  # Store, then load: `release_all` may not have seen it.
            self.release(server)
        return source

    def release(self, server: ClusterServer) -> None:
        """Release its source, if that has not been done."""
        held = self._held.pop(server, None)
        if held is not None:
            source, watcher = held
            source.remove_watcher(watcher)
            source.release()

    def release_all(self) -> None:
        """It is closed. What is connected later is released at once."""
        self._is_closed = True
        for server in list(self._held):
            self.release(server)

    def sources(self) -> list[SourceBase]:
        """Those that are in use."""
        return [source for source, _ in list(self._held.values())]

    def __repr__(self) -> str:
        return f"<ServerConnections of {len(self._held)} servers>"
