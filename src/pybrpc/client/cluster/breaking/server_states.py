"""ServerStates: which servers of a cluster may have calls.

    UP ------ the breaker trips -------> EJECTED --- time passes ---> TRIAL
    UP ------ it answers ELOGOFF ------> LOGGED_OFF --- time passes -----^
    TRIAL --- good trials -------------> UP, with a slow start
    TRIAL --- one that fails ----------> EJECTED, for longer
    any ----- it can't be reached -----> DOWN --- it is dialled -------> UP, with a slow start

All happens in turns of one dispatcher, so there are no locks. Panic: when too few servers are
usable, the ejected ones are used too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Protocol

from pybrpc.base.guard import CLIENT, run_guarded
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.gates import Gate, SlowStart, TrialGate
from pybrpc.client.cluster.breaking.isolation import Isolation
from pybrpc.client.cluster.breaking.server_health import ServerHealth, ServerState
from pybrpc.client.cluster.cluster_server import ClusterServer

QUIET_TRIAL_S = 5.0
"""A server on trial that gets no call for so many seconds is one that the balancer remembers as
very slow, and would not pick for long: then the balancer forgets that."""


class Turns(Protocol):
    """Time and turns: of a dispatcher, or of a simulation."""

    def now(self) -> float:
        """Monotonic seconds."""

    def post(self, function: Callable[[], None]) -> None:
        """Have it called in a turn soon. Any thread, never blocks or raises."""

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        """Have it called in a turn then. Any thread, never blocks or raises."""


class ServerStates:
    """`on_usable` is called, in a turn, when one more server may have calls."""

    def __init__(
        self,
        turns: Turns,
        breaker: CircuitBreaker | None,
        on_usable: Callable[[], None],
        on_none_usable: Callable[[], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Without a `breaker` no server is ejected. `draw`: random numbers for slow starts."""
        self._turns = turns
        self._breaker = breaker
        self._options = breaker or CircuitBreaker()
        self._on_usable = on_usable
        self._on_none_usable = on_none_usable
        self._draw = draw
        self._owner = object()
        self._servers: dict[ClusterServer, None] = {}
        self._ejected: dict[ClusterServer, None] = {}
        self._healthy = 0
        """Servers that would be usable without a panic."""
        self.is_panic = False
        self.usable = 0
        """How many servers may have calls."""

    def new_health(self) -> ServerHealth:
        """For a server that is new. Any thread."""
        options = self._options
        health = ServerHealth(
            None if self._breaker is None else self._breaker.new_server_breaker(),
            Isolation(options.isolation, options.max_isolation),
            self._turns.now(),
        )
        health.owner = self._owner
        return health

    def slow_down(self, servers: Iterable[ClusterServer]) -> None:
        """Begin the slow start of servers that are not in the list yet. Any thread."""
        for server in servers:
            self._begin_slow_start(server)

    # --- in a turn ---

    def replace(self, added: Collection[ClusterServer], removed: Iterable[ClusterServer]) -> None:
        """The list has changed. Some 100 ns for each server."""
        self._servers.update(dict.fromkeys(added))
        self._healthy += sum(map(_is_healthy, added))
        self.usable += sum(server.is_usable for server in added)
        for server in removed:
            if self._servers.pop(server, server) is None:
                self._ejected.pop(server, None)
                self._healthy -= _is_healthy(server)
                self.usable -= server.is_usable
        self._check_panic()

    def clear(self) -> None:
        """Forget all servers: no timer is set for them any more."""
        self._servers.clear()
        self._ejected.clear()
        self._healthy = self.usable = 0
        self.is_panic = False

    def set_down(self, server: ClusterServer, why: str) -> None:
        """It can't be reached."""
        health: ServerHealth = server.health
        health.is_down = True
        self._change(server, ServerState.DOWN, why)

    def set_reachable(self, server: ClusterServer) -> None:
        """It can be reached."""
        health: ServerHealth = server.health
        if not health.is_down:
            return
        health.is_down = False
        _reset_breaker(health, self._turns.now())
        _forget_load(server)
        self._begin_slow_start(server)
        self._change(server, ServerState.UP, "")

    def log_off(self, server: ClusterServer) -> None:
        """It has answered ELOGOFF."""
        if server.health.state in (ServerState.UP, ServerState.TRIAL):
            self._leave_out(server, ServerState.LOGGED_OFF, "it stops, and takes no new calls")

    def eject(self, server: ClusterServer, why: str) -> None:
        """Its breaker has tripped. Nothing happens if too many are ejected already."""
        if server.health.state is not ServerState.UP or server not in self._servers:
            return
        allowed = max(1, int(len(self._servers) * self._options.max_ejected))
        if len(self._ejected) >= allowed:
            return
        self._leave_out(server, ServerState.EJECTED, why)

    def end_trial(self, server: ClusterServer, is_good: bool | None, why: str) -> None:
        """A trial has ended; `is_good=None`: it says nothing."""
        health: ServerHealth = server.health
        if health.state is not ServerState.TRIAL:
            return
        if is_good is False:
            self._leave_out(server, ServerState.EJECTED, why)
            return
        health.good += bool(is_good)
        if health.good >= self._options.good_trials:
            self._end_isolation(server)
        elif health.trial is not None:
            health.trial.free()
            self._on_usable()

    def _leave_out(self, server: ClusterServer, state: ServerState, why: str) -> None:
        health: ServerHealth = server.health
        health.trial = None
        now = self._turns.now()
        seconds = health.isolation.begin(now)
        CLIENT.info("%s is left out for %.1f s: %s", server.node, seconds, why)
        self._turns.call_at(now + seconds, partial(self._begin_trials, server, now))
        self._change(server, state, why)
        health.since = now

    def _begin_trials(self, server: ClusterServer, since: float) -> None:
        """Its time has passed, unless it has come into another state since."""
        health: ServerHealth = server.health
        if not health.is_left_out or health.since != since or server not in self._servers:
            return
        now = self._turns.now()
        health.isolation.end(now)
        _reset_breaker(health, now)
        health.good = 0
        trial = server.gate = health.trial = TrialGate()
        self._change(server, ServerState.TRIAL, health.why)
        self._turns.call_at(now + QUIET_TRIAL_S, partial(self._on_quiet_trial, server, trial))

    def _on_quiet_trial(self, server: ClusterServer, trial: TrialGate) -> None:
        if server.health.trial is not trial or server not in self._servers:
            return
        if trial.is_free:
            _forget_load(server)
        when = self._turns.now() + QUIET_TRIAL_S
        self._turns.call_at(when, partial(self._on_quiet_trial, server, trial))

    def _end_isolation(self, server: ClusterServer) -> None:
        CLIENT.info("%s serves again", server.node)
        server.health.isolation.end(self._turns.now())
        _forget_load(server)
        self._begin_slow_start(server)
        self._change(server, ServerState.UP, "")

    def _begin_slow_start(self, server: ClusterServer) -> None:
        now = self._turns.now()
        seconds = self._options.slow_start
        server.health.trial = None
        if not seconds:
            server.gate = None
            return
        server.gate = SlowStart(now, seconds, self._draw)

    def open_gate(self, server: ClusterServer, gate: Gate) -> None:
        """The slow start of a server is over, unless something has come between."""
        if server.gate is gate:
            server.gate = None

    def _change(self, server: ClusterServer, state: ServerState, why: str) -> None:
        """Set the state of a server, and what follows from it."""
        is_counted = server in self._servers
        if is_counted:
            self._healthy -= _is_healthy(server)
        server.health.set_state(state, why, self._turns.now())
        if state is ServerState.EJECTED and is_counted:
            self._ejected[server] = None
        else:
            self._ejected.pop(server, None)
        if is_counted:
            self._healthy += _is_healthy(server)
        self._set_usable(server)
        self._check_panic()

    def _check_panic(self) -> None:
        is_panic = self._healthy < self._options.panic_below * len(self._servers)
        if is_panic is not self.is_panic:
            self.is_panic = is_panic
            for server in self._ejected:
                self._set_usable(server)
        if not self.usable and self._servers:
            self._on_none_usable()

    def _set_usable(self, server: ClusterServer) -> None:
        is_usable = _is_healthy(server) or (
            self.is_panic and server.health.state is ServerState.EJECTED
        )
        if is_usable is server.is_usable:
            return
        server.is_usable = is_usable
        if server in self._servers:
            self.usable += 1 if is_usable else -1
            if is_usable:
                self._on_usable()


_HEALTHY = (ServerState.UP, ServerState.TRIAL)


def _is_healthy(server: ClusterServer) -> bool:
    return server.health.state in _HEALTHY


def _reset_breaker(health: ServerHealth, now: float) -> None:
    breaker = health.breaker
    if breaker is not None:
        run_guarded(breaker.reset, now, what="reset of a circuit breaker", log=CLIENT)


def _forget_load(server: ClusterServer) -> None:
    """A server comes back: figures that the balancer has of it are out of date."""
    run_guarded(_forget, server.load, what="forget of the load of a server", log=CLIENT)


def _forget(load: Any) -> None:
    forget = getattr(load, "forget", None)
    if forget is not None:
        forget()
