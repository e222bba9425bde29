"""Reconnector: dials an endpoint that is down, in the background, until it is up."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.backoff import Backoff
from pybrpc.base.guard import CLIENT, safe_repr
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.endpoints.endpoint_health import DEFAULT_DIAL_BACKOFF, EndpointHealth
from pybrpc.client.endpoints.health_check import HealthCheck
from pybrpc.errors import ErrorCode, Phase, RpcError, is_unreachable, make_rpc_error
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

    def notify_watchers(self) -> None:
        """The endpoint has gone down, as a look has found."""


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

    def raise_if_down(self) -> None:
        """Raise the error for a call that does not wait, if the endpoint is down."""
        error = self.why_down()
        try:
            if error is not None:
                raise error
        finally:
            # The error refers to this frame: without this it would be freed by the garbage
            # collector only.
            del error

    def note_failure(self, error: RpcError) -> None:
        """A connection of the source has failed."""
        if self._backoff is not None and is_unreachable(error):
            now = time.monotonic()
            due = self.health.on_failure(error, now)
            if due is not None:
                text = "%s is down, and is dialled again in %.1f s: %s"
                CLIENT.info(text, error.peer, due - now, error.text)
            self._dial_at(due)

    def look(self) -> None:
        """A connection has broken that was established, perhaps as its server has gone: find that
        out before a call does. In a turn."""
        if self._backoff is not None and not self.health.is_down and self._probe is None:
            self._begin_probe()

    def note_success(self) -> bool:
        """A connection of the source is established. True if this brought the endpoint up again."""
        if not self.health.is_down or self.is_checking:
            return False
        self._end_as_up()
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
        if not connection.is_held():
            self._on_checked(connection, error)
        # Otherwise the failure ends the health check, which then reports it.

    def _on_checked(self, connection: ClientConnection, error: RpcError | None) -> None:
        """Only the first result of a dial counts; closing the connection reports a second one."""
        if connection is not self._probe:
            return
        self._probe = None
        if error is None:
            self._end_as_up()
            self._source.adopt(connection)
        elif self.health.is_down:
            self._dial_at_after(error)
            connection.close()
        else:
            self.note_failure(error)
            connection.close()
            self._source.notify_watchers()

    def _end_as_up(self) -> None:
        """The endpoint can be reached again: stop dialling."""
        cause, failures = self.health.cause, self.health.failures
        if cause is not None:
            CLIENT.info("%s is up again, after %d failed dials", cause.peer, failures)
        self.close()

    def _dial_at_after(self, error: RpcError) -> None:
        """A dial has failed: plan the next one."""
        now = time.monotonic()
        due = self.health.on_dial_failure(error, now)
        if due is not None:
            text = "%s is still down, and is dialled again in %.1f s: %s"
            CLIENT.debug(text, error.peer, due - now, error.text)
        self._dial_at(due)

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
        if self._source.is_used and self.health.begin_dial():
            before, self._probe = self._probe, None
            if before is not None:  # A look that takes long.
                before.close()
            self._begin_probe()

    def _begin_probe(self) -> None:
        try:
            probe = self._probe = self._source.make_for(self)
            # Raises if another thread has closed the source, and with it the probe, meanwhile.
            with contextlib.suppress(RpcError):
                # An empty message connects it.
                probe.socket.start_write(IOBuf())
        except BaseException as reason:
            self._on_dial_raised(reason)
        if not self._source.is_used:
            self.close()

    def _on_dial_raised(self, reason: BaseException) -> None:
        """The dial has failed before the connection could tell its owner anything."""
        peer = ""
        try:
            probe, self._probe = self._probe, None
            if probe is not None:
                peer = str(probe.socket.remote_side)
                probe.close()
        finally:
            text = f"Fail to dial: {safe_repr(reason)}"
            error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.CONNECT, peer=peer)
            error.__cause__ = reason
            self._dial_at_after(error)
            CLIENT.caught("a dial in the background raised", error=reason)
