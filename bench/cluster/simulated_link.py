"""SimulatedLink: the connections of one client to one server, in the place of a SharedSource."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol

from bench.cluster.clock import VirtualClock
from bench.cluster.simulated_server import SimulatedServer
from pybrpc.client.endpoints.endpoint_health import DEFAULT_DIAL_BACKOFF, EndpointHealth
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error

NETWORK_S = 0.0002
"""Seconds for one way between client and server."""


class LinkedAttempt(Protocol):
    """An attempt, as its link sees it."""

    timeout_ms: int

    def answer(self, code: int) -> None:
        """The server answers."""

    def fail(self, error: RpcError) -> None:
        """The connection has failed."""


class SimulatedLink:
    """One connection, made by the first attempt, or by a dial in the background while the server
    is down: when that is, and when it is up again, decides the EndpointHealth of channels."""

    __slots__ = (
        "_clock",
        "_draw",
        "_health",
        "_is_closed",
        "_is_connected",
        "_on_changed",
        "_pending",
        "_server",
        "_unsent",
    )

    def __init__(
        self,
        clock: VirtualClock,
        server: SimulatedServer,
        draw: Callable[[], float],
        on_changed: Callable[[], object],
    ) -> None:
        """`on_changed` is called when the server went down or came up."""
        self._clock = clock
        self._server = server
        self._draw = draw
        self._on_changed = on_changed
        self._health: EndpointHealth | None = None
        self._is_connected = self._is_closed = False
        self._pending: dict[LinkedAttempt, None] = {}
        self._unsent: list[LinkedAttempt] | None = None
        """Attempts that wait for the connection; `None`: it is not being made."""

    @property
    def why_down(self) -> RpcError | None:
        """As of a SharedSource."""
        return None if self._health is None else self._health.cause

    def close(self) -> None:
        """The server has left the list, and no attempt is in flight."""
        self._is_closed = True
        self._server.connections.pop(self, None)

    def send(self, attempt: LinkedAttempt) -> None:
        """Send an attempt now, or when the connection is made."""
        self._pending[attempt] = None
        if self._is_connected:
            self._clock.after(NETWORK_S, self._arrive, attempt)
        elif self._unsent is not None:
            self._unsent.append(attempt)
        else:
            self._unsent = [attempt]
            self._clock.after(2 * NETWORK_S, self._connect)

    def forget(self, attempt: LinkedAttempt) -> None:
        """It has ended; its response is not wanted any more."""
        self._pending.pop(attempt, None)

    def _arrive(self, attempt: LinkedAttempt) -> None:
        if self._is_connected:
            self._server.receive(attempt.answer, attempt.timeout_ms)

    def _connect(self, _: object) -> None:
        """The server has answered an attempt to connect, which a call has caused."""
        unsent, self._unsent = self._unsent or [], None
        if not self._server.is_refusing:
            self._establish()
            for attempt in unsent:
                if attempt in self._pending:
                    self._clock.after(NETWORK_S, self._arrive, attempt)
            return
        error = _refused()
        if self._health is None:
            self._health = EndpointHealth(DEFAULT_DIAL_BACKOFF, self._draw)
        self._dial_at(self._health.on_failure(error, self._clock.now))
        self._on_changed()
        self._fail(unsent, error)

    def _establish(self) -> None:
        self._is_connected = True
        self._server.connections[self] = None

    def _dial_at(self, due: float | None) -> None:
        if due is not None:
            self._clock.at(due, self._dial)

    def _dial(self, _: object) -> None:
        health = self._health
        if self._is_closed or health is None or not health.begin_dial():
            return
        if self._server.is_refusing:
            self._dial_at(health.on_dial_failure(_refused(), self._clock.now))
        else:
            health.on_success()
            self._establish()
            self._on_changed()

    def on_broken(self) -> None:
        """The server is gone."""
        self._is_connected = False
        text = "the server has closed the connection"
        error = make_rpc_error(ErrorCode.EEOF, text, phase=Phase.WAITING, is_remote=True)
        self._fail(list(self._pending), error)

    def _fail(self, attempts: list[LinkedAttempt], error: RpcError) -> None:
        for attempt in attempts:
            if self._pending.pop(attempt, attempt) is None:
                attempt.fail(error)


def _refused() -> RpcError:
    text = "Fail to connect: Connection refused"
    return make_rpc_error(errno.ECONNREFUSED, text, phase=Phase.CONNECT)
