"""la: calls in proportion to throughput divided by latency, as in bRPC's locality-aware balancer.

The weight of a server is its calls per second divided by its mean latency in microseconds, both of
its last 128 calls. If the calls that are in flight take longer than 1.5 times that mean, it is
divided by how much longer. The formulas and constants are bRPC's (docs/cn/lalb.md, and
locality_aware_load_balancer.cpp); new here are bounds that keep every server in use: the weight is
at least 1 % of the average one, and a server which can't be used keeps its weight until it comes
back with the average.
"""

from __future__ import annotations

import math
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence

from pybrpc.base.pacing import paced
from pybrpc.base.renewed import renew_in_child
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.balancing.weight_tree import WeightTree
from pybrpc.client.cluster.cluster_server import ClusterServer

WEIGHT_SCALE = 1008680231
"""Weight of one call per second at a latency of one microsecond."""
MIN_WEIGHT = 1000.0
MIN_SHARE = 0.01
"""The least part of the average weight."""
MAX_SAMPLES = 128
MIN_SPAN_S = 1.0
"""Fewer samples than MAX_SAMPLES say nothing of calls per second unless they span as long."""
PUNISH_IN_FLIGHT_RATIO = 1.5
PUNISH_ERROR_RATIO = 1.2
MAX_DRAWS = 32


class LocalityAware:
    """The balancer "la". Its lock is for figures of attempts; no pick takes it."""

    name = "la"
    needs_hash_key = False

    def __init__(self, source: random.Random | None = None) -> None:
        """`source`: where its random numbers come from, if not from `random`."""
        self._random = random.random if source is None else source.random
        self.renew_locks()
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        # A signal handler may call while the thread that it interrupts has the lock.
        self.lock = threading.RLock()

    def new_picker(self, servers: Sequence[ClusterServer]) -> LocalityAwarePicker:
        """See `LoadBalancer`. New servers get the average weight. Attempts go on meanwhile: if one
        changes a weight, the next one of that server brings it into the new tree."""
        known = [
            server.load.base_weight for server in servers if isinstance(server.load, CallTimes)
        ]
        average = sum(known) / len(known) if known else float(WEIGHT_SCALE)
        for server in paced(servers):
            if not isinstance(server.load, CallTimes):
                server.load = CallTimes(average)
        return LocalityAwarePicker(servers, self, self._random)


class CallTimes:
    """The calls of one server. Changed under the lock of the balancer, read by any thread."""

    __slots__ = ("average_s", "base_weight", "begin_sum", "in_flight", "samples", "was_unusable")

    average_s: float
    """Mean latency in seconds; 0 before the first sample."""
    base_weight: float
    samples: deque[tuple[float, float]]
    """For each call: the latencies of all calls up to it, added up, and when it ended."""

    def __init__(self, base_weight: float) -> None:
        self.average_s = 0.0
        self.base_weight = base_weight
        self.begin_sum = 0.0
        self.in_flight = 0
        self.samples = deque(maxlen=MAX_SAMPLES)
        self.was_unusable = False

    def share_now(self, now: float) -> float:
        """The part of the weight that counts: less than 1 if the calls in flight take long."""
        in_flight, average_s = self.in_flight, self.average_s
        if in_flight > 0 and average_s > 0.0:
            delay_s = now - self.begin_sum / in_flight
            punish_s = average_s * PUNISH_IN_FLIGHT_RATIO
            if delay_s >= punish_s:
                return punish_s / delay_s
        return 1.0

    def note_begin(self, now: float) -> None:
        """An attempt has begun."""
        self.begin_sum += now
        self.in_flight += 1

    def note_end(self, begun_at: float) -> None:
        """An attempt has ended, however."""
        self.in_flight -= 1
        # No rest of rounding stays when nothing is in flight.
        self.begin_sum = self.begin_sum - begun_at if self.in_flight > 0 else 0.0

    def note_success(self, latency_s: float, now: float) -> None:
        """A sample."""
        before = self.samples[-1][0] if self.samples else 0.0
        self.samples.append((before + latency_s, now))
        self._weigh(now)

    def note_failure(self, latency_s: float, limit_s: float, now: float) -> None:
        """A failed attempt: it makes the last sample slower, so that it raises no throughput."""
        if not limit_s < math.inf:
            limit_s = latency_s * PUNISH_ERROR_RATIO
        punished_s = max(latency_s * PUNISH_ERROR_RATIO, limit_s)
        if self.samples:
            total_s, _ = self.samples.pop()
            self.samples.append((total_s + punished_s, now))
        else:
            self.samples.append((punished_s, now))
        self._weigh(now)

    def _weigh(self, now: float) -> None:
        samples = self.samples
        first_sum_s, first_end = samples[0]
        count = len(samples)
        calls_per_s = 1.0
        if count > 1:
            span_s = now - first_end
            if span_s > 0.0 and (count == MAX_SAMPLES or span_s >= MIN_SPAN_S):
                calls_per_s = max((count - 1) / span_s, 1.0)
            average_s = (samples[-1][0] - first_sum_s) / (count - 1)
        else:
            average_s = first_sum_s
        if average_s <= 0.0:
            return
        self.average_s = average_s
        self.base_weight = max(calls_per_s * WEIGHT_SCALE / (average_s * 1e6), MIN_WEIGHT)


class LocalityAwarePicker(BasePicker):
    """The Picker of "la". It draws by the weights of the tree, and draws again with the chance by
    which calls in flight make the weight of a server less."""

    __slots__ = ("_balancer", "_indexes", "_random", "_tree")

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        balancer: LocalityAware,
        random: Callable[[], float],
    ) -> None:
        BasePicker.__init__(self, servers)
        self._balancer = balancer
        self._indexes = {server: index for index, server in enumerate(self.servers)}
        self._random = random
        self._tree = WeightTree([server.load.base_weight for server in self.servers])

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        servers, tree = self.servers, self._tree
        if not servers:
            return None
        best: ClusterServer | None = None
        best_weight = 0.0
        for _ in range(MAX_DRAWS):
            index = tree.find(self._random() * tree.total)
            server = servers[index]
            if not server.is_usable:
                server.load.was_unusable = True
                continue
            if tried and server in tried:
                continue
            share = server.load.share_now(now)
            if share >= 1.0 or self._random() < share:
                return server
            weight = tree.weight(index) * share
            if best is None or weight > best_weight:
                best, best_weight = server, weight
        if best is not None:
            return best
        candidates = self.candidates(tried)
        if not candidates:
            return self.last_resort(tried)
        return candidates[int(self._random() * len(candidates))]

    def on_begin(self, server: ClusterServer, now: float) -> None:
        """See `Picker`."""
        load = server.load
        with self._balancer.lock:
            load.note_begin(now)
            if load.was_unusable:
                load.was_unusable = False
                load.base_weight = min(load.base_weight, self._tree.total / len(self.servers))
                self._update(server)

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Picker`."""
        load = server.load
        latency_s = now - begun_at
        with self._balancer.lock:
            load.note_end(begun_at)
            if outcome is Outcome.SUCCESS and latency_s > 0.0:
                load.note_success(latency_s, now)
            elif outcome in (Outcome.FAULT, Outcome.REFUSED):
                load.note_failure(max(latency_s, 0.0), limit_s, now)
            self._update(server)

    def _update(self, server: ClusterServer) -> None:
        index = self._indexes.get(server)
        if index is None:  # No longer listed.
            return
        floor = MIN_SHARE * self._tree.total / len(self.servers)
        self._tree.change(index, max(server.load.base_weight, floor))
