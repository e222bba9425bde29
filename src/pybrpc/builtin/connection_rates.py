"""ConnectionRates: bytes and messages per second and minute of connections, while somebody looks.

No connection counts by time. So the first look at /connections starts samples, one each second, of
the connections that pages show; two minutes after the last look they end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pybrpc.base.renewed import renew_in_child
from pybrpc.builtin.server_view import ConnectionView
from pybrpc.metrics.sampler import Sampler, default_sampler

WATCHED_S = 120.0
"""Seconds after the last look in which samples are still taken."""
MINUTE_S = 60
MAX_CONNECTIONS = 2048
"""Connections of which samples are kept."""

Counts = tuple[int, int, int, int]


class Rates(NamedTuple):
    """Bytes and messages, in and out, of a second and of a minute."""

    second: Counts
    minute: Counts


class _Sample(NamedTuple):
    at_s: float
    counts: dict[int, Counts]
    """By the ids of sockets."""


class ConnectionRates:
    """Any thread. `look` is called for each page, `take_sample` by the sampler of metrics."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sampler: Callable[[], Sampler] = default_sampler,
    ) -> None:
        self._clock = clock
        self._sampler = sampler
        self._lock = threading.Lock()
        self._samples: list[_Sample] = []
        self._read: Callable[[], Iterable[ConnectionView]] | None = None
        self._watched_until = 0.0
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child: forget what the parent has kept."""
        self._lock = threading.Lock()
        self._samples = []
        self._read = None

    def look(self, read: Callable[[], Iterable[ConnectionView]]) -> None:
        """A page is shown: take samples of what `read()` returns, now and for two minutes."""
        with self._lock:
            is_new = self._read is None
            self._read = read
            self._watched_until = self._clock() + WATCHED_S
        if is_new:
            self._add_sample(read, self._clock())
            self._sampler().add(self)

    def take_sample(self, now_s: float) -> bool:
        """See `Sampled`. False once nobody has looked for two minutes."""
        with self._lock:
            read = self._read
            if read is None or self._clock() > self._watched_until:
                self._read = None
                self._samples = []
                return False
        self._add_sample(read, self._clock())
        return True

    def _add_sample(self, read: Callable[[], Iterable[ConnectionView]], now_s: float) -> None:
        counts = {view.socket_id: counts_of(view) for view in read()}
        with self._lock:
            kept = [each for each in self._samples if each.at_s >= now_s - MINUTE_S - 1]
            self._samples = [*kept, _Sample(now_s, counts)]

    def of(self, view: ConnectionView) -> Rates:
        """Those of one connection. The second is that before the last sample, the minute what has
        been seen of it. A connection that is younger than both is seen as a whole."""
        with self._lock:
            samples = self._samples
        last = counts_of(view)
        now_s = self._clock()
        return Rates(
            self._since(samples, now_s - 1.0, view, last),
            self._since(samples, now_s - MINUTE_S, view, last),
        )

    def _since(
        self, samples: list[_Sample], since_s: float, view: ConnectionView, last: Counts
    ) -> Counts:
        if self._clock() - view.age_s >= since_s:
            return last
        before = [each for each in samples if view.socket_id in each.counts]
        if not before:
            return (0, 0, 0, 0)
        start = next((each for each in reversed(before) if each.at_s <= since_s), before[0])
        then = start.counts[view.socket_id]
        return (last[0] - then[0], last[1] - then[1], last[2] - then[2], last[3] - then[3])


def counts_of(view: ConnectionView) -> Counts:
    """Its bytes and messages so far."""
    return view.in_bytes, view.in_messages, view.out_bytes, view.out_messages


RATES = ConnectionRates()
"""The rates that pages of this process show."""
