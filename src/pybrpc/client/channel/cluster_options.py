"""ClusterOptions: how a channel finds and chooses the servers of its cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.channel.options import ChannelSettings
from pybrpc.client.cluster.cluster_source import ClusterSettings, ClusterSource
from pybrpc.client.cluster.router import RouterSettings
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.naming import NamingUrl, ServerNode, is_naming_url, watch

if TYPE_CHECKING:
    import asyncio

MAX_SHOWN = 80
"""Characters of the name of a cluster, in texts and metrics."""

Servers = str | Iterable[str | Endpoint | ServerNode]
"""A URL of a naming service, or the servers themselves."""


def servers_of(address: Servers | Endpoint) -> Servers | None:
    """The servers that the address of a channel stands for; `None` if it is that of one server."""
    if isinstance(address, Endpoint) or (isinstance(address, str) and not is_naming_url(address)):
        return None
    return address if isinstance(address, Iterable) else None


class ClusterOptions:
    """Makes the ClusterSources of a channel. Its options are checked when it is made."""

    def __init__(self, servers: Servers, settings: ChannelSettings) -> None:
        """AddressError, ValueError or TypeError for wrong options."""
        self._settings = settings
        if isinstance(servers, str):
            self._where: NamingUrl | tuple[Any, ...] = NamingUrl.parse(servers)
            name = str(self._where)
        else:
            self._where = tuple(servers)
            name = "list://" + ",".join(map(str, self._where))
        self.name = name if len(name) <= MAX_SHOWN else f"{name[: MAX_SHOWN - 3]}..."
        self._factory = settings.connection_factory(None)
        settings.new_load_balancer()
        watch(self._where, _Nobody(), server_filter=settings.server_filter).close()

    def source_of(
        self, loop: asyncio.AbstractEventLoop | None, acquire: AcquireFrom
    ) -> ClusterSource:
        """The source of connections that `loop`, or the dispatcher thread, polls."""
        settings = self._settings
        factory = dataclasses.replace(self._factory, loop=loop)
        return ClusterSource(
            ClusterSettings(
                self.name,
                factory.protocol.name,
                partial(watch, self._where, server_filter=settings.server_filter),
                settings.new_load_balancer,
                RouterSettings(
                    settings.checked_circuit_breaker,
                    settings.retry_budget,
                ),
                lambda endpoint: acquire(dataclasses.replace(factory, endpoint=endpoint)),
                _wanted_by(settings.server_filter),
            ),
            factory,
        )


class NamedFilter:
    """A filter of servers with words for those that it accepts, such as " of partition 0/3"."""

    __slots__ = ("_accept", "wanted")

    def __init__(self, accept: Callable[[ServerNode], object], wanted: str) -> None:
        self._accept = accept
        self.wanted = wanted

    def __call__(self, node: ServerNode) -> object:
        """Whether `node` is accepted."""
        return self._accept(node)


def _wanted_by(server_filter: object) -> str:
    """Which servers a filter accepts, for the text of an error."""
    if server_filter is None:
        return ""
    if isinstance(server_filter, NamedFilter):
        return server_filter.wanted
    return " that server_filter accepts"


class _Nobody:
    """A watcher of servers that wants nothing."""

    def on_servers(self, servers: tuple[ServerNode, ...]) -> None: ...

    def on_naming_error(self, error: BaseException) -> None: ...


AcquireFrom = Callable[[ConnectionFactory], SourceBase]
"""Gives the source of the connections that a factory makes, for one more user."""
