"""Reconnector: dials an endpoint that is down, in the background, until it is up."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.backoff import Backoff
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.endpoints.endpoint_health import DEFAULT_DIAL_BACKOFF, EndpointHealth
from pybrpc.client.endpoints.health_check import HealthCheck
from pybrpc.errors import RpcError, is_unreachable
from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, TimerHandle

if TYPE_CHECKING:
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher


class DialledSource(Protocol):
    """A source of connections, as its Reconnector sees it."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher that polls the connections."""

    @property
    def is_used(self) -> bool:
        """Whether a channel uses it."""

    def make_for(self, owner: ConnectionOwner) -> ClientConnection:
        """Create a connection, which must be passed to `adopt` or `forget` later."""

    def adopt(self, connection: ClientConnection) -> None:
        """A background dial has succeeded: use this connection. In a turn."""

    def forget(self, connection: ClientConnection) -> None:
        """The connection has failed."""


class Reconnector(ConnectionOwner):
    """Does what the EndpointHealth of a ConnectionSource decides; owns the connection it dials.

    It has one timer or one connection at a time, and none while the endpoint is up. Any thread may
    call `close` and the methods that only read; all others run in turns of the dispatcher.
    """

    __slots__ = ("_backoff", "_check", "_probe", "_source", "_timer", "health")

    def __init__(
        self, source: DialledSource, backoff: Backoff | None, check: HealthCheck | None
    ) -> None:
        """Without a `backoff` nothing is dialled here, and the endpoint is never down."""
        self._source = source
        self._backoff = backoff
        self._check = check
        self._timer: TimerHandle | None = None
        self._probe: ClientConnection | None = None
        self.health = EndpointHealth(backoff or DEFAULT_DIAL_BACKOFF)

    @property
    def is_checking(self) -> bool:
        """Whether a health check must pass before the endpoint counts as up."""
        return self._check is not None

    def why_down(self) -> RpcError | None:
        """The error for a call that does not wait; `None` if the endpoint is up."""
        return self.health.why(time.monotonic())

    def note_failure(self, error: RpcError) -> None:
        """A connection of the source has failed."""
        if self._backoff is not None and is_unreachable(error):
            self._dial_at(self.health.on_failure(error, time.monotonic()))

    def note_success(self) -> bool:
        """A connection of the source is established. True if this brought the endpoint up again."""
        if not self.health.is_down or self.is_checking:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Stop dialling, and regard the endpoint as up. Any thread; never blocks."""
        self.health.on_success()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.close()

    def after_fork(self) -> None:
        """Forget timer and connection, which belong to the parent."""
        self._timer = self._probe = None
        self.health.on_success()

    # --- called by the connection that it dials ---

    def on_connected(self, connection: ClientConnection) -> None:
        if connection is not self._probe:
            return
        if self._check is None:
            self._on_checked(connection, None)
        else:
            self._check.start(connection, self._on_checked)

    def on_failed(self, connection: ClientConnection, error: RpcError) -> None:
        self._source.forget(connection)
        if not connection.in_flight:
            self._on_checked(connection, error)
        # Otherwise the failure ends the health check, which then reports it.

    def _on_checked(self, connection: ClientConnection, error: RpcError | None) -> None:
        """Only the first result of a dial counts; closing the connection reports a second one."""
        if connection is not self._probe:
            return
        self._probe = None
        if error is None:
            self.close()
            self._source.adopt(connection)
        else:
            self._dial_at(self.health.on_dial_failure(error, time.monotonic()))
            connection.close()

    def _dial_at(self, due: float | None) -> None:
        if due is None:
            return
        try:
            self._timer = self._source.dispatcher.call_at(due, self._dial)
        except DispatcherClosedError:
            self.health.on_success()
        if not self._source.is_used:
            self.close()

    def _dial(self) -> None:
        self._timer = None
        if not self._source.is_used or not self.health.begin_dial():
            return
        probe = self._probe = self._source.make_for(self)
        # Raises if another thread has closed the source, and with it the probe, meanwhile.
        with contextlib.suppress(RpcError):
            # An empty message connects it.
            probe.socket.start_write(IOBuf())
        if not self._source.is_used:
            self.close()
