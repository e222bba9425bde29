"""ClusterOptions: how a channel finds and chooses the servers of its cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pybrpc.base.checked_options import (
    checked_function_or_none,
    checked_instance,
    checked_instance_or_none,
)
from pybrpc.client.channel.options import ChannelSettings
from pybrpc.client.channel.servers import Servers
from pybrpc.client.cluster.balancing.cluster_recover import ClusterRecover, RecoveringBalancer
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.registry import DEFAULT, new_load_balancer
from pybrpc.client.cluster.balancing.user_balancer import guarded_balancer
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.client.cluster.breaking.retry_budget import RetryBudget
from pybrpc.client.cluster.breaking.server_breaker import ServerBreaker
from pybrpc.client.cluster.cluster_source import ClusterSettings, ClusterSource
from pybrpc.client.cluster.router import RouterSettings
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.naming import NamingUrl, ServerNode, watch
from pybrpc.transport.connecting.resolver import prepare_look_ups

if TYPE_CHECKING:
    import asyncio

MAX_SHOWN = 80
"""Characters of the name of a cluster, in texts and metrics."""


class ClusterOptions:
    """Makes the ClusterSources of a channel. Its options are checked when it is made."""

    def __init__(self, servers: Servers, settings: ChannelSettings) -> None:
        """AddressError, ValueError or TypeError for wrong options."""
        prepare_look_ups()  # its servers, or those that a naming service finds, may have names
        checked_instance_or_none("cluster_recover", settings.cluster_recover, ClusterRecover)
        checked_instance_or_none("retry_budget", settings.retry_budget, RetryBudget)
        checked_function_or_none("server_filter", settings.server_filter, "node")
        self._settings = settings
        self._circuit_breaker = _checked_circuit_breaker(settings.circuit_breaker)
        if isinstance(servers, str):
            self._where: NamingUrl | tuple[Any, ...] = NamingUrl.parse(servers)
            name = str(self._where)
        else:
            self._where = tuple(servers)
            name = "list://" + ",".join(map(str, self._where))
        self.name = name if len(name) <= MAX_SHOWN else f"{name[: MAX_SHOWN - 3]}..."
        self._factory = settings.connection_factory(None)
        self._new_load_balancer()
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
                self._new_load_balancer,
                RouterSettings(self._circuit_breaker, settings.retry_budget),
                lambda endpoint: acquire(dataclasses.replace(factory, endpoint=endpoint)),
                _wanted_by(settings.server_filter),
            ),
            factory,
        )

    def _new_load_balancer(self) -> LoadBalancer:
        """For one source of connections. ValueError if its name or a parameter is unknown,
        TypeError if it is no balancer."""
        given = self._settings.load_balancer
        if given is None or isinstance(given, str):
            given = new_load_balancer(DEFAULT if given is None else given)
        else:
            given = guarded_balancer(given)
        recover = self._settings.cluster_recover
        if recover is None:
            return given
        return RecoveringBalancer(given, recover.min_working_instances, recover.hold_seconds)


class NamedFilter:
    """A filter of servers with words for those that it accepts, such as " of partition 0/3"."""

    __slots__ = ("_accept", "wanted")

    def __init__(self, accept: Callable[[ServerNode], object], wanted: str) -> None:
        self._accept = accept
        self.wanted = wanted

    def __call__(self, node: ServerNode) -> object:
        """Whether `node` is accepted."""
        return self._accept(node)


def _checked_circuit_breaker(option: CircuitBreaker | bool) -> CircuitBreaker | None:
    if isinstance(option, bool):
        return OutlierDetection() if option else None
    made = checked_instance("circuit_breaker", option, CircuitBreaker)
    of_server = made.new_server_breaker()
    checked_instance("new_server_breaker() of circuit_breaker", of_server, ServerBreaker)
    return made


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
