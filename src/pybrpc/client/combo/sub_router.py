"""SubRouter: picks one of the channels of a SelectiveChannel, by the balancers of clusters.

Each channel is a server of a Router. What clusters do in turns of a dispatcher happens here under a
lock, at once, or when the next call looks: so it belongs to no thread and no loop.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import UserCodeError
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.pick import Pick
from pybrpc.client.cluster.router import Router, RouterSettings
from pybrpc.client.cluster.server_node import ServerNode
from pybrpc.client.combo.sub_channel import SubChannel
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error

CHECK_S = 1.0
"""Seconds after which a channel that had no server is looked at again, as in bRPC."""


class _NeverEjects(CircuitBreaker):
    """No channel is left out because its calls fail: the channels do that with their servers."""

    def new_server_breaker(self) -> Any:
        return None


class _LockedTurns:
    """Turns that are taken at once, or, when their time has come, by `run_due`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return time.monotonic()

    def post(self, function: Callable[[], None]) -> None:
        with self.lock:
            function()

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        with self.lock:
            heapq.heappush(self._due, (when, next(self._numbers), function))

    def run_due(self) -> None:
        due = self._due
        if not due or due[0][0] > self.now():
            return
        with self.lock:
            while due and due[0][0] <= self.now():
                heapq.heappop(due)[2]()


class SubRouter:
    """Any thread. `on_unused` gets a channel that was removed, once its last call has ended."""

    def __init__(
        self,
        name: str,
        balancer: LoadBalancer,
        on_unused: Callable[[SubChannel], object] = lambda entry: None,
    ) -> None:
        self.needs_hash_key = balancer.needs_hash_key
        self.has_incomplete = False
        """Whether there are servers, but too few for a channel."""
        self.naming_error = ""
        """The last error of the naming service; "": it works, or there is none."""
        self.when_empty = "has no channels"
        """The words behind its name in the error of a call, while it is empty."""
        self._turns = _LockedTurns()
        self._numbers = itertools.count()
        self._nodes: dict[ServerNode, SubChannel] = {}
        self._down: dict[ClusterServer, float] = {}
        """Channels without a server, and when to look at them again."""
        self._router = Router(
            name,
            balancer,
            RouterSettings(_NeverEjects(slow_start=0.0), None),
            self._turns,
            self._make,
            on_unused=lambda server: on_unused(server.source),
        )
        self._change(self._nodes)

    @property
    def entries(self) -> tuple[SubChannel, ...]:
        """The channels, in the order in which they were added."""
        return tuple(self._nodes.values())

    def add(self, entry: SubChannel, tag: str) -> None:
        """Have calls use a channel. ValueError if its channel is there already."""
        with self._turns.lock:
            if self._find(entry.channel) is not None:
                raise ValueError(f"{entry.channel!r} was added already")
            node = ServerNode(Endpoint(f"channel-{next(self._numbers)}", 0), tag)
            self._change({**self._nodes, node: entry})

    def remove(self, channel: object) -> None:
        """Have no more calls use a channel. ValueError if it is not there."""
        with self._turns.lock:
            node = self._find(channel)
            if node is None:
                raise ValueError(f"{channel!r} is none of its channels")
            self._change({each: self._nodes[each] for each in self._nodes if each != node})

    def refresh(self) -> None:
        """The weights of the channels have changed."""
        with self._turns.lock:
            self._set_nodes()

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, limit_s: float
    ) -> Pick | None:
        """A channel that the call has not tried; `None` if there is none. The Pick must `end` once.
        Raises what a balancer raises."""
        self._turns.run_due()
        if self._down:
            self._look_again()
        pick = self._router.pick(tried, hash_key, limit_s)
        if pick is not None and pick.server in tried:
            pick.end(int(ErrorCode.ECANCELED), CanceledBy.CALLER)
            return None
        return pick

    def may_retry_elsewhere(self, code: int, tried: tuple[ClusterServer, ...]) -> bool:
        """Whether a call that was refused with `code` may try another channel."""
        return self._router.may_retry_elsewhere(code, tried)

    def set_down(self, server: ClusterServer, why: str) -> None:
        """The channel has no server."""
        with self._turns.lock:
            if server.source in self._nodes.values():
                self._down[server] = time.monotonic() + CHECK_S
                self._router.states.set_down(server, why)

    def no_channel_error(self) -> RpcError:
        """Why no channel can be used."""
        error = self._router.no_server_error(self.naming_error)
        if error.code == errno.ENODATA and (self._nodes or self.has_incomplete):
            text = f"no channel of {self._router.name} has a server for each partition"
            error = make_rpc_error(
                errno.EHOSTDOWN, text, phase=Phase.QUEUED, peer=self._router.name
            )
        elif error.code == errno.ENODATA and not self.naming_error:
            text = f"{self._router.name} {self.when_empty}"
            error = make_rpc_error(error.code, text, phase=Phase.QUEUED, peer=self._router.name)
        return error

    @property
    def is_healthy(self) -> bool:
        """Whether a channel can be used."""
        return any(entry.is_healthy for entry in self.entries)

    def _look_again(self) -> None:
        now = time.monotonic()
        with self._turns.lock:
            for server, when in list(self._down.items()):
                if when > now:
                    continue
                self._down[server] = now + CHECK_S
                if server.source.is_healthy:
                    del self._down[server]
                    self._router.states.set_reachable(server)

    def _change(self, nodes: dict[ServerNode, SubChannel]) -> None:
        """Have other channels. If the balancer raises, so does this, and nothing has changed."""
        before, self._nodes = self._nodes, nodes
        try:
            self._set_nodes()
        except BaseException as error:
            self._nodes = before
            if isinstance(error, UserCodeError) and isinstance(error.reason, Exception):
                raise error.reason from None
            raise

    def _set_nodes(self) -> None:
        self._router.set_nodes(self._nodes, is_in_turn=True)
        listed = set(self._nodes.values())
        for server in [server for server in self._down if server.source not in listed]:
            del self._down[server]

    def _find(self, channel: object) -> ServerNode | None:
        for node, entry in self._nodes.items():
            if entry.channel is channel:
                return node
        return None

    def _make(self, node: ServerNode) -> ClusterServer:
        return ClusterServer(node, self._nodes[node])
