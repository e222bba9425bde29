"""p2c and p2c_ewma: the best of a few servers that are drawn at random, by latency and load.

The score of a server is its PeakEwma times its calls in flight, and one more, divided by its
weight. The least score wins. A failed attempt counts as a latency of at least the time that it had,
and of twice the average: a server that fails at once must not look fast.

"p2c" is bRPC's, except that an attempt which was overtaken or cancelled says nothing. "p2c_ewma"
learns more:

- A server without a sample that has calls in flight is picked last. bRPC gives it the least score
  of all, so that a new server which hangs gets half of all calls until the first one has failed.
- An attempt that was overtaken or cancelled took at least as long as it ran.
- A server that refuses calls since it is busy counts as twice as slow, not as failed.
- Without a deadline, a failed attempt counts as MIN_PUNISH_S.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.balancing.peak_ewma import MIN_LATENCY_S, PeakEwma
from pybrpc.client.cluster.cluster_server import ClusterServer

MAX_CHOICES = 64
MIN_PUNISH_S = 1.0
UNOBSERVED_S = 1e12
"""Latency of a server without a sample that has calls in flight: more than any other."""

_FAULT = Outcome.FAULT
_REFUSED = Outcome.REFUSED
_SUCCESS = Outcome.SUCCESS
_INFINITY = math.inf


@dataclass(frozen=True, slots=True)
class P2cSettings:
    """Parameters of p2c and p2c_ewma."""

    choices: int = 2
    """Servers that are drawn, from 2 to MAX_CHOICES."""
    tau_s: float = 10.0
    """Seconds in which an average without samples falls to 1 / e, 37 %."""
    max_punish_s: float = 30.0
    """The most seconds that a failed attempt counts as; 0: no limit."""


class PowerOfChoices:
    """The balancers "p2c" and "p2c_ewma"."""

    needs_hash_key = False

    def __init__(
        self,
        name: str = "p2c_ewma",
        settings: P2cSettings | None = None,
        source: random.Random | None = None,
    ) -> None:
        """`name`: "p2c" for exactly what bRPC does. `source`: where its random numbers come from,
        if not from `random`."""
        self.name = name
        self._settings = settings or P2cSettings()
        self._random = random.random if source is None else source.random

    def new_picker(self, servers: Sequence[ClusterServer]) -> P2cPicker:
        """See `LoadBalancer`."""
        for server in servers:
            if not isinstance(server.load, PeakEwma):
                server.load = PeakEwma()
        return P2cPicker(servers, self._settings, self._random, self.name != "p2c")


class P2cPicker(BasePicker):
    """The Picker of both. `server.load` is the PeakEwma of a server."""

    __slots__ = (
        "_choices",
        "_learns_more",
        "_loads",
        "_max_punish_s",
        "_random",
        "_tau_s",
    )

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        settings: P2cSettings,
        random: Callable[[], float],
        learns_more: bool,
    ) -> None:
        """`learns_more`: as "p2c_ewma" does."""
        BasePicker.__init__(self, servers)
        self._loads = tuple(server.load for server in self.servers)
        self._choices = settings.choices
        self._tau_s = settings.tau_s
        self._max_punish_s = settings.max_punish_s or math.inf
        self._random = random
        self._learns_more = learns_more

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        servers = self.servers
        count = len(servers)
        if self._choices == 2 and count > 1:
            # One random number for an ordered pair of different indexes.
            pair = int(self._random() * (count * (count - 1)))
            first = pair // (count - 1)
            second = pair - first * (count - 1)
            if second >= first:
                second += 1
            one, other = servers[first], servers[second]
            if (
                one.is_usable
                and other.is_usable
                and not (tried and (one in tried or other in tried))
            ):
                return one if self._score(first, now) <= self._score(second, now) else other
        return self._pick_of_eligible(tried, now)

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Picker`."""
        load = server.load
        if load is None:
            return
        latency_s = now - begun_at
        if outcome is _SUCCESS:
            if latency_s <= 0.0 and not self._learns_more:
                return
        elif outcome is _FAULT or (outcome is _REFUSED and not self._learns_more):
            latency_s = self._punished(load, latency_s, limit_s)
        elif not self._learns_more:
            return
        elif outcome is _REFUSED:
            latency_s = min(max(latency_s, 2.0 * load.average_s), self._max_punish_s)
        elif latency_s <= load.average_s or load.average_s <= 0.0:
            return
        load.note(latency_s, now, self._tau_s)

    def _punished(self, load: PeakEwma, latency_s: float, limit_s: float) -> float:
        """The latency as which a failed attempt counts."""
        if limit_s < _INFINITY:
            latency_s = max(latency_s, limit_s)
        elif self._learns_more:
            latency_s = max(latency_s, MIN_PUNISH_S)
        return min(max(latency_s, 2.0 * load.average_s), self._max_punish_s)

    def _score(self, index: int, now: float) -> float:
        """The load of a server if it gets one more call."""
        server = self.servers[index]
        load: PeakEwma = self._loads[index]
        in_flight = server.count_in_flight()
        if load.average_s > 0.0:
            latency_s = load.latency_s(now, self._tau_s)
        elif in_flight > 0 and self._learns_more:
            latency_s = UNOBSERVED_S
        else:
            latency_s = MIN_LATENCY_S
        if in_flight < 0:
            in_flight = 0
        weight = server.weight
        return latency_s * (in_flight + 1) / (weight if weight > 0.0 else MIN_LATENCY_S)

    def _pick_of_eligible(
        self, tried: tuple[ClusterServer, ...], now: float
    ) -> ClusterServer | None:
        """The best of `choices` servers that are usable and not tried."""
        count = len(self.servers)
        found: list[int] = []
        if count > self._choices:
            for _ in range(4 * self._choices + 8):
                index = int(self._random() * count)
                if index not in found and self._is_eligible(index, tried):
                    found.append(index)
                    if len(found) == self._choices:
                        break
        if len(found) < self._choices:
            found = [index for index in range(count) if self._is_eligible(index, tried)]
            for place in range(min(self._choices, len(found))):
                other = place + int(self._random() * (len(found) - place))
                found[place], found[other] = found[other], found[place]
            del found[self._choices :]
        best, best_score = -1, 0.0
        start = int(self._random() * len(found))
        for place in range(len(found)):
            # From a random place, so that equal scores lead all clients to different servers.
            index = found[(start + place) % len(found)]
            score = self._score(index, now)
            if best < 0 or score < best_score:
                best, best_score = index, score
        return self.last_resort(tried) if best < 0 else self.servers[best]

    def _is_eligible(self, index: int, tried: tuple[ClusterServer, ...]) -> bool:
        server = self.servers[index]
        return server.is_usable and not (tried and server in tried)
