"""SimulatedChannel: the Router of a channel, with simulated connections around it.

It does for a Router what the ClusterSource does: looks for a server that can be reached, tells the
Router which ones can't, and keeps the calls that wait for one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from bench.cluster.channel_settings import ChannelSettings
from bench.cluster.clock import VirtualClock
from bench.cluster.simulated_link import SimulatedLink
from bench.cluster.simulated_server import SimulatedServer
from bench.cluster.turns import VirtualTurns
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.finding import MAX_BUSY
from pybrpc.client.cluster.pick import Pick
from pybrpc.client.cluster.router import RouterSettings
from pybrpc.client.cluster.server_node import ServerNode
from pybrpc.errors import ErrorCode, RpcError

_CANCELED = int(ErrorCode.ECANCELED)


class WaitingCall(Protocol):
    """A call that waits for a server."""

    hash_key: int | None

    def tried(self) -> tuple[ClusterServer, ...]:
        """The servers of its attempts so far."""

    def limit_s(self) -> float:
        """Seconds until its deadline."""

    def on_pick(self, pick: Pick) -> None:
        """It has a server."""

    def on_no_server(self, error: RpcError) -> None:
        """There will be none."""


class SimulatedChannel:
    """The channel of one client."""

    __slots__ = ("_clock", "_draw", "_servers", "_waiting", "router")

    def __init__(
        self,
        clock: VirtualClock,
        source: random.Random,
        settings: ChannelSettings,
        servers: Mapping[ServerNode, SimulatedServer],
    ) -> None:
        """`servers`: all that the lists of a naming service may name."""
        self._clock = clock
        self._draw = source.random
        self._servers = servers
        self._waiting: dict[WaitingCall, None] = {}
        self.router = settings.router(
            "list://simulated",
            settings.new_balancer(source),
            RouterSettings(settings.breaker, settings.retry_budget),
            VirtualTurns(clock),
            self._make_server,
            self._on_usable,
            self._on_none_usable,
            _close_link,
            source.random,
        )

    def set_nodes(self, nodes: Iterable[ServerNode]) -> None:
        """The naming service has a new list."""
        self.router.set_nodes(nodes, is_in_turn=True)
        if self.router.has_usable():
            self._on_usable()
        else:
            self._on_none_usable()

    def _make_server(self, node: ServerNode) -> ClusterServer:
        server = ClusterServer(node)
        changed = partial(self._on_link_changed, server)
        server.source = SimulatedLink(self._clock, self._servers[node], self._draw, changed)
        return server

    def _on_link_changed(self, server: ClusterServer) -> None:
        self._clock.at(self._clock.now, self._note_reachable, server)

    def _note_reachable(self, server: ClusterServer) -> None:
        cause = server.source.why_down
        if cause is not None:
            self.router.states.set_down(server, cause.text)
            self._on_none_usable()
        else:
            self.router.states.set_reachable(server)

    # --- for calls ---

    def find(self, call: WaitingCall) -> None:
        """Give it a server or an error, now or later."""
        router = self.router
        try:
            pick = None
            if not router.states.usable:
                self._raise_if_hopeless(call)
            elif not self._waiting:
                pick = self._find(call)
                if pick is None:
                    self._raise_if_hopeless(call)
        except RpcError as error:
            call.on_no_server(error)
            return
        if pick is None:
            self._waiting[call] = None
        else:
            call.on_pick(pick)

    def forget(self, call: WaitingCall) -> None:
        """It does not wait any more."""
        self._waiting.pop(call, None)

    def pick_for_backup(self, call: WaitingCall) -> Pick | None:
        """A server that the call has not tried, for its backup request."""
        if self._waiting:
            return None
        pick = self.router.pick(call.tried(), call.hash_key, call.limit_s())
        if pick is None:
            return None
        if pick.server not in pick.tried and pick.server.source.why_down is None:
            return pick
        pick.end(_CANCELED, CanceledBy.CALLER)
        return None

    def _find(self, call: WaitingCall) -> Pick | None:
        tried = call.tried()
        limit_s = call.limit_s()
        for _ in range(MAX_BUSY):
            pick = self.router.pick(tried, call.hash_key, limit_s)
            if pick is None or pick.server.source.why_down is None:
                return pick
            pick.end(_CANCELED, CanceledBy.CALLER)
            if pick.server in tried:
                return None
            tried = (*tried, pick.server)
        return None

    def _raise_if_hopeless(self, call: WaitingCall) -> None:
        router = self.router
        if router.picker is None or router.has_usable():
            return
        pick = router.pick((), call.hash_key, call.limit_s())
        if pick is not None:
            pick.end(_CANCELED, CanceledBy.CALLER)
        raise router.no_server_error("")

    def _on_usable(self) -> None:
        if self._waiting:
            self._clock.at(self._clock.now, self._serve)

    def _serve(self, _: object) -> None:
        while self._waiting:
            call = next(iter(self._waiting))
            try:
                pick = self._find(call)
            except RpcError as error:
                self._end_wait(call, partial(call.on_no_server, error))
                continue
            if pick is None:
                return
            self._end_wait(call, partial(call.on_pick, pick))

    def _end_wait(self, call: WaitingCall, then: Callable[[], object]) -> None:
        del self._waiting[call]
        then()

    def _on_none_usable(self) -> None:
        if self._waiting and not self.router.has_usable():
            waiting = list(self._waiting)
            self._waiting.clear()
            for call in waiting:
                call.on_no_server(self.router.no_server_error(""))


def _close_link(server: ClusterServer) -> None:
    server.source.close()
