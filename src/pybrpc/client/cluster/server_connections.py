"""ServerConnections: the connections to the servers of a cluster, for as long as they are used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import CLIENT
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.server_node import ServerNode
from pybrpc.client.endpoints.source_base import SourceBase

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

    __slots__ = ("_acquire", "_held", "_listener")

    def __init__(self, acquire: AcquireSource, listener: ServerListener) -> None:
        self._acquire = acquire
        self._listener = listener
        self._held: dict[ClusterServer, Callable[[], None]] = {}

    def make_server(self, node: ServerNode) -> ClusterServer | None:
        """The server of a node, with a source; `None`, which is logged, if it can have none."""
        try:
            source = self._acquire(node.endpoint)
        except Exception as error:
            CLIENT.raised("%s is left out of a cluster", node, error=error)
            return None
        server = ClusterServer(node, source)
        watcher = _Watcher(self._listener, server)
        source.add_watcher(watcher)
        self._held[server] = partial(_release, source, watcher)
        return server

    def release(self, server: ClusterServer) -> None:
        """Release its source, if that has not been done."""
        release = self._held.pop(server, None)
        if release is not None:
            release()

    def release_all(self) -> None:
        for server in list(self._held):
            self.release(server)

    def sources(self) -> list[SourceBase]:
        """Those that are in use."""
        return [server.source for server in list(self._held)]

    def __repr__(self) -> str:
        return f"<ServerConnections of {len(self._held)} servers>"


def _release(source: SourceBase, watcher: _Watcher) -> None:
    source.remove_watcher(watcher)
    source.release()
