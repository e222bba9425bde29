"""Router: picks a server for each attempt of the calls of one channel, and learns from its end.

It does no I/O and knows no clock but that of its `Turns`, so a simulation runs it too.
A pick takes no lock: it loads the Picker of the newest list once. The list changes in a turn.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from pybrpc.base.guard import CLIENT, deliver_interrupt, safe_repr
from pybrpc.base.pacing import paced
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Outcome
from pybrpc.client.cluster.balancing.user_balancer import UserPicker
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.outcomes import outcome_of
from pybrpc.client.cluster.breaking.retry_budget import RetryBudget, RetryTokens
from pybrpc.client.cluster.breaking.server_health import ServerState
from pybrpc.client.cluster.breaking.server_states import ServerStates, Turns
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.pick import Pick, new_pick
from pybrpc.client.cluster.server_node import ServerNode
from pybrpc.error_codes import NOTHING_LEFT
from pybrpc.errors import ErrorCode, Phase, RpcError, error_name, make_rpc_error
from pybrpc.rpc.bounded_steps import BoundedSteps

MAX_REASONS = 5
"""Servers whose reasons are in the error of a call that finds none usable."""

MAX_GATES = 3
"""Servers that come back which a pick passes by before it takes one all the same."""

RETRIED_ELSEWHERE = frozenset(
    {int(ErrorCode.ELIMIT), int(ErrorCode.EOVERCROWDED), int(ErrorCode.ELOGOFF)}
)
"""Codes after which a call is sent again only if there is a server that it has not tried."""


# An attribute of an Enum costs a call more than all the rest of what a good end does.
_SUCCESS = Outcome.SUCCESS
_FAULT = Outcome.FAULT
_UP = ServerState.UP
_ELOGOFF = int(ErrorCode.ELOGOFF)


class RouterSettings:
    """The parts of a Router apart from the balancer."""

    __slots__ = ("breaker", "retry_budget")

    def __init__(
        self,
        breaker: CircuitBreaker | None,
        retry_budget: RetryBudget | None,
    ) -> None:
        """`None`: without it."""
        self.breaker = breaker
        self.retry_budget = retry_budget


class Router:
    """`name` is that of the cluster, for texts."""

    __slots__ = (
        "_balancer",
        "_classifier",
        "_make",
        "_now",
        "_on_unused",
        "_servers",
        "_tokens",
        "_turns",
        "name",
        "picker",
        "states",
    )

    def __init__(
        self,
        name: str,
        balancer: LoadBalancer,
        settings: RouterSettings,
        turns: Turns,
        make: Callable[[ServerNode], ClusterServer | None] = ClusterServer,
        on_usable: Callable[[], None] = lambda: None,
        on_none_usable: Callable[[], None] = lambda: None,
        on_unused: Callable[[ClusterServer], object] = lambda server: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`make` makes the server of a node, or `None` to leave it out; `on_unused` gets it back
        when it has left the list and its last attempt has ended, in any thread. `on_usable` is
        called when there is one more server for calls, `on_none_usable` when there is none; both
        in a turn. `draw` gives random numbers from 0 to 1, for slow starts."""
        self.name = name
        self._on_unused = on_unused
        self._balancer = balancer
        self._classifier = None if settings.breaker is None else settings.breaker.classifier
        self._make = make
        self._turns = turns
        self._now = turns.now
        self.states = ServerStates(turns, settings.breaker, on_usable, on_none_usable, draw)
        budget = settings.retry_budget
        self._tokens = None if budget is None else RetryTokens(budget, turns.now())
        self._servers: dict[ServerNode, ClusterServer] = {}
        self.picker: BasePicker | None = None
        """That of the newest list; `None` before the first one."""

    @property
    def servers(self) -> Sequence[ClusterServer]:
        """Those of the newest list."""
        return () if self.picker is None else self.picker.servers

    def has_usable(self) -> bool:
        """Whether the balancer has a server that may have calls. Any thread.

        A balancer may use only some of those that the naming service names: a subset of them, or
        those whose tag has a weight. Looks at all of them if none is usable.
        """
        return self.states.usable > 0 and any(server.is_usable for server in self.servers)

    # --- the list ---

    def set_nodes(
        self, nodes: Iterable[ServerNode], is_in_turn: bool = False
    ) -> list[ClusterServer]:
        """The naming service has a new list. By one thread at a time; it may take long. Returns
        the servers that are new. If the balancer raises, so does this, and the list before stays.

        `is_in_turn`: nobody else changes or uses the router meanwhile, so that the list counts at
        once.
        """
        old = self._servers
        new: dict[ServerNode, ClusterServer] = {}
        added: list[ClusterServer] = []
        try:
            for node in paced(nodes):
                server = old.get(node)
                if server is None and node not in new:
                    server = self._make(node)
                    if server is not None:
                        added.append(server)
                        server.health = self.states.new_health()
                if server is not None:
                    new[node] = server
            picker = self._new_picker(tuple(new.values()))
        except BaseException:
            # The list before this one stays, and so do the servers of it alone.
            for server in added:
                self._on_unused(server)
            raise
        removed = [server for node, server in old.items() if node not in new]
        self._servers = new
        if old:
            self.states.slow_down(paced(added))
        install = partial(self._install, picker, added, removed)
        if is_in_turn:
            install()
        else:
            self._turns.post(install)
        return added

    def _new_picker(self, servers: tuple[ClusterServer, ...]) -> BasePicker:
        picker = self._balancer.new_picker(servers)
        if isinstance(picker, BasePicker):
            return picker
        return UserPicker(self._balancer.name, servers, picker)

    def _install(
        self, picker: BasePicker, added: list[ClusterServer], removed: list[ClusterServer]
    ) -> None:
        self.picker = picker
        self.states.replace(added, removed)
        if removed:
            left = [removed]
            BoundedSteps(self._turns, lambda: left.pop() if left else [], self._let_go).run()

    def close(self) -> None:
        """Nobody uses it any more: forget the servers, so that no timer keeps it alive. In a turn.
        A later list makes all of its servers anew."""
        self.picker = None
        self._servers = {}
        self.states.clear()

    def _let_go(self, server: ClusterServer) -> None:
        if server.leave_list():
            self._on_unused(server)

    def note_unused(self, server: ClusterServer) -> None:
        """The last attempt of a server has ended that has left the list."""
        self._on_unused(server)

    # --- attempts ---

    def note_call(self) -> None:
        """A call begins: it adds to the budget of retries."""
        if self._tokens is not None:
            self._tokens.note_call()

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, limit_s: float
    ) -> Pick | None:
        """The server for an attempt that begins now; `None` if none is usable.

        `limit_s`: seconds that are left to the call. The Pick must `end` once, with or without an
        attempt. Raises the RpcError of a call that may not begin.
        """
        try:
            return self._pick(tried, hash_key, limit_s)
        except RpcError:
            raise
        except Exception as reason:
            text = f"the load balancer raised {safe_repr(reason)}"
            raise self._error(ErrorCode.EINTERNAL, text) from reason

    def _pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, limit_s: float
    ) -> Pick | None:
        now: float = self._now()
        picker = self.picker
        while picker is not None:
            server = picker.pick(tried, hash_key, now)
            if server is not None and server.gate is not None:
                server = self._behind_gates(picker, server, tried, hash_key, now)
            if server is None:
                break
            if server.begin():
                pick = new_pick(self, picker, server, now, limit_s, tried)
                try:
                    picker.on_begin(server, now)
                except BaseException:
                    pick.end(int(ErrorCode.ECANCELED), CanceledBy.CALLER)
                    raise
                return pick
            if picker is self.picker:  # Its own list has changed: the next one is about to come.
                tried = (*tried, server)
                if len(tried) > len(picker.servers):
                    break
            picker = self.picker
        return None

    def _behind_gates(
        self,
        picker: BasePicker,
        server: ClusterServer,
        tried: tuple[ClusterServer, ...],
        hash_key: int | None,
        now: float,
    ) -> ClusterServer | None:
        """`server` if its gate admits the call, else another one; at last the first one."""
        first: ClusterServer | None = server
        for _ in range(MAX_GATES):
            gate = server.gate
            if gate is None or gate.admits(now):
                if gate is not None and gate.is_over(now):
                    self._turns.post(partial(self.states.open_gate, server, gate))
                return server
            tried = (*tried, server)
            other = picker.pick(tried, hash_key, now)
            if other is None or other in tried:
                break
            server = other
        return first

    def end(self, pick: Pick, code: int, canceled_by: CanceledBy | None) -> None:
        """The attempt of `pick` has ended. Once for each; any thread; never raises."""
        now: float = self._now()
        server = pick.server
        latency_s = now - pick.begun_at
        outcome = _SUCCESS
        if code or canceled_by is not None:
            outcome = outcome_of(code, canceled_by, self._classifier)
        try:
            pick.picker.on_end(server, pick.begun_at, now, outcome, pick.limit_s)
        except BaseException as error:
            CLIENT.raised("on_end of a load balancer raised", error=error)
            deliver_interrupt(error)
        health = server.health
        if outcome is _SUCCESS:
            health.note_latency(latency_s)
        if health.state is not _UP:
            self._end_while_not_up(server, code, outcome)
        elif health.breaker is not None and (outcome is _SUCCESS or outcome is _FAULT):
            try:
                is_broken = health.breaker.note(outcome, latency_s, now)
            except BaseException as error:
                is_broken = False
                CLIENT.caught("note of a circuit breaker raised", error=error)
            if is_broken:
                why = f"too many errors, the last one {error_name(code)}"
                self._turns.post(partial(self.states.eject, server, why))
        if code == _ELOGOFF:
            self._turns.post(partial(self.states.log_off, server))

    def _end_while_not_up(self, server: ClusterServer, code: int, outcome: Outcome) -> None:
        if server.health.state is not ServerState.TRIAL:
            return
        is_good = {Outcome.SUCCESS: True, Outcome.FAULT: False}.get(outcome)
        why = f"a trial failed with {error_name(code)}"
        self._turns.post(partial(self.states.end_trial, server, is_good, why))

    # --- retries ---

    def may_retry_elsewhere(self, code: int, tried: tuple[ClusterServer, ...]) -> bool:
        """Whether a call that a server has refused with `code` may try another one."""
        return code in RETRIED_ELSEWHERE and any(
            server.is_usable and server not in tried for server in self.servers
        )

    def take_retry(self, error: RpcError) -> bool:
        """Whether the budget allows a retry after `error`."""
        is_free = error.phase in NOTHING_LEFT or error.code == ErrorCode.ELOGOFF
        return is_free or self._tokens is None or self._tokens.take(self._turns.now())

    # --- errors ---

    def no_server_error(self, naming_error: str, wanted: str = "") -> RpcError:
        """Why a call finds no server. `naming_error`: the last one of the naming service, or "".
        `wanted`: which of its servers are used, such as " that server_filter accepts"."""
        servers = self.servers
        naming_error = naming_error.removeprefix(f"{self.name}: ")
        because = f": {naming_error}" if naming_error else ""
        if self.picker is None:
            return self._error(errno.ENODATA, f"{self.name} has named no server yet{because}")
        if not servers and self._servers:
            servers_of = f"{len(self._servers)} servers of {self.name}"
            text = f"the balancer {self._balancer.name} uses none of the {servers_of}; see the log"
            return self._error(errno.ENODATA, text)
        if not servers:
            return self._error(errno.ENODATA, f"{self.name} names no server{wanted}{because}")
        now = self._turns.now()
        reasons = [
            f"{server.node}: {health.state} for {now - health.since:.1f} s, {health.why}"
            for server in servers[:MAX_REASONS]
            for health in [server.health]
        ]
        more = len(servers) - len(reasons)
        if more:
            reasons.append(f"and {more} more")
        text = f"none of the {len(servers)} servers of {self.name} is usable: {'; '.join(reasons)}"
        return self._error(errno.EHOSTDOWN, text)

    def _error(self, code: int, text: str) -> RpcError:
        return make_rpc_error(code, text, phase=Phase.QUEUED, peer=self.name)

    def __repr__(self) -> str:
        count = f"{self.states.usable} of {len(self.servers)} servers usable"
        return f"<Router of {self.name}, {count}>"
