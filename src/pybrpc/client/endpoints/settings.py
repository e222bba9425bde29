"""SourceSettings: how a source keeps its connections; EndpointStatistics: its counts."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from pybrpc.base.backoff import Backoff
from pybrpc.base.checked_options import (
    checked_count,
    checked_count_or_none,
    checked_instance_or_none,
)
from pybrpc.client.endpoints.endpoint_health import DEFAULT_DIAL_BACKOFF
from pybrpc.client.endpoints.health_check import HealthCheck

ConnectionType = Literal["single", "pooled", "short", "auto"]
"""As in bRPC: all calls share a connection; each call has one of a pool; each has a new one. "auto"
is pybrpc's: calls share one, and threads that block at the same time have a few of their own."""

DEFAULT_MAX_POOL_SIZE = 100
"""The default of bRPC's `max_connection_pool_size`, which there limits only idle connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class SourceSettings:
    """Channels share connections only if their settings are equal. Checked when made: a ValueError
    says what is allowed.

    connections     parallel connections of the type single; calls take them in turn
    max_pool_size   connections of the type pooled that may exist at once; `None`: 100. Of the type
                    auto: those of threads that block; `None`: 8
    idle_timeout_s  seconds without traffic and without a call after which a connection is closed;
                    `None`: never
    dial_backoff    how often an endpoint that is down is dialled; `None`: only by the calls
    health_check    the call that must succeed before the endpoint is up again
    """

    connection_type: str = "single"
    connections: int = 1
    max_pool_size: int | None = None
    idle_timeout_s: float | None = None
    dial_backoff: Backoff | None = DEFAULT_DIAL_BACKOFF
    health_check: HealthCheck | None = None

    def __post_init__(self) -> None:
        if self.connection_type not in get_args(ConnectionType):
            allowed = ", ".join(map(repr, get_args(ConnectionType)))
            raise ValueError(
                f"connection_type must be one of {allowed}, not {self.connection_type!r}"
            )
        checked_count("connections", self.connections, 1)
        if self.connections > 1 and self.connection_type != "single":
            raise ValueError(
                'connections=k is for the connection_type "single"; of "pooled" and "auto" '
                "max_pool_size says how many there may be"
            )
        max_pool_size = checked_count_or_none("max_pool_size", self.max_pool_size, 1)
        if max_pool_size is not None and self.connection_type not in ("pooled", "auto"):
            raise ValueError('max_pool_size is for the connection_types "pooled" and "auto"')
        if self.idle_timeout_s == 0:
            raise ValueError("idle_timeout must be more than 0 seconds, or None for never")
        checked_instance_or_none("dial_backoff", self.dial_backoff, Backoff)
        checked_instance_or_none("health_check", self.health_check, HealthCheck)
        if self.health_check is not None and self.dial_backoff is None:
            raise ValueError("only background dials run a health_check: give a dial_backoff too")

    @property
    def pool_size(self) -> int:
        return DEFAULT_MAX_POOL_SIZE if self.max_pool_size is None else self.max_pool_size


@dataclasses.dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """Counts of the connections that a channel uses, perhaps together with other channels."""

    created: int
    """Connections made so far, including those of background dials."""
    closed: int
    """How many of them have failed or were closed."""
    in_use: int
    """Connections on which calls wait for responses now."""
    idle: int
    """Connections that are established and have no call."""
    waiting: int
    """Calls that wait for a connection: the pool is used up, or the endpoint is down."""
    is_down: bool
    """Whether the endpoint could not be reached, and is dialled in the background."""
