"""SimulatedClient: sends calls at random times, whether earlier ones have ended or not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from bench.cluster.clock import VirtualClock
from bench.cluster.routing import Routing
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.cluster_server import ClusterServer

NETWORK_S = 0.0002
"""Seconds for one way between client and server."""

OnDone = Callable[[float, float, bool], object]
"""Called with when the call began, when it ended, and whether it has succeeded."""


class SimulatedClient:
    """Calls in a Poisson process. `server.source` of its servers is the SimulatedServer."""

    __slots__ = (
        "_clock",
        "_max_retry",
        "_new_key",
        "_on_done",
        "_random",
        "_rate",
        "_timeout_s",
        "_until",
        "attempts",
        "routing",
    )

    attempts: int

    def __init__(
        self,
        clock: VirtualClock,
        source: random.Random,
        routing: Routing,
        on_done: OnDone,
        *,
        rate: float,
        until: float,
        timeout_s: float = math.inf,
        max_retry: int = 0,
        new_key: Callable[[], int] | None = None,
    ) -> None:
        """`rate`: calls per second up to the time `until`. `max_retry`: attempts after a failed
        one, while the timeout is not over. `new_key`: makes the hash keys of calls."""
        self._clock = clock
        self._random = source
        self.routing = routing
        self._on_done = on_done
        self._rate = rate
        self._until = until
        self._timeout_s = timeout_s
        self._max_retry = max_retry
        self._new_key = new_key
        self.attempts = 0
        clock.after(source.expovariate(rate), self._call)

    def _call(self, _: object) -> None:
        clock = self._clock
        if clock.now >= self._until:
            return
        SimulatedCall(self, self._new_key() if self._new_key else None).attempt()
        clock.after(self._random.expovariate(self._rate), self._call)


class SimulatedCall:
    """One call: its attempts, one after the other."""

    __slots__ = ("_begun_at", "_client", "_deadline", "_hash_key", "_number", "_sent_at", "_tried")

    def __init__(self, client: SimulatedClient, hash_key: int | None) -> None:
        self._client = client
        self._begun_at = client._clock.now
        self._deadline = self._begun_at + client._timeout_s
        self._hash_key = hash_key
        self._sent_at = self._begun_at
        self._tried: tuple[ClusterServer, ...] = ()
        self._number = 0
        """The attempt that is waited for; 0 when the call is over."""

    def attempt(self) -> None:
        """Send the first or another attempt, or fail."""
        client = self._client
        now = client._clock.now
        server = client.routing.pick(self._tried, self._hash_key, now)
        if server is None:
            self._done(False)
            return
        number = self._number = len(self._tried) + 1
        self._tried += (server,)
        self._sent_at = now
        client.attempts += 1
        client.routing.begin(server, now)
        client._clock.after(NETWORK_S, self._arrive, number)
        if self._deadline < math.inf:
            client._clock.at(self._deadline, self._time_out, number)

    def _arrive(self, number: int) -> None:
        self._tried[number - 1].source.receive(lambda is_ok: self._answer(number, is_ok))

    def _answer(self, number: int, is_ok: bool) -> None:
        self._client._clock.after(NETWORK_S, self._end, (number, is_ok))

    def _end(self, answer: tuple[int, bool]) -> None:
        number, is_ok = answer
        if number != self._number:
            return
        client = self._client
        self._finish(Outcome.SUCCESS if is_ok else Outcome.FAULT)
        if is_ok or len(self._tried) > client._max_retry:
            self._done(is_ok)
        else:
            self.attempt()

    def _time_out(self, number: int) -> None:
        if number == self._number:
            self._finish(Outcome.FAULT)
            self._done(False)

    def _finish(self, outcome: Outcome) -> None:
        limit_s = self._deadline - self._sent_at
        now = self._client._clock.now
        self._client.routing.end(self._tried[-1], self._sent_at, now, outcome, limit_s)

    def _done(self, is_ok: bool) -> None:
        self._number = 0
        self._client._on_done(self._begun_at, self._client._clock.now, is_ok)
