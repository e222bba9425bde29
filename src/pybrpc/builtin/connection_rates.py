"""ConnectionRates: bytes and messages per second and minute of connections, while somebody looks.

No connection counts by time. So the first look at /connections starts samples, one each second, of
the connections that pages show; two minutes after the last look they end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from pybrpc.base.renewed import renew_in_child
from pybrpc.builtin.server_view import ConnectionView
from pybrpc.metrics.sampler import Sampler, default_sampler

WATCHED_S = 120.0
"""Seconds after the last look in which samples are still taken."""
MINUTE_S = 60.0
MAX_CONNECTIONS = 2048
"""Connections of which samples are kept."""
MIN_SPAN_S = 0.5
"""A sample that is younger, in seconds, says nothing."""

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
        # Also if it is not new: the sampler may just be about to forget it.
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
        views = islice(read(), MAX_CONNECTIONS)
        counts = {view.socket_id: counts_of(view) for view in views}
        with self._lock:
            kept = [each for each in self._samples if each.at_s >= now_s - MINUTE_S - 1]
            self._samples = [*kept, _Sample(now_s, counts)]

    def of(self, view: ConnectionView) -> Rates:
        """Those of one connection: of the second and the minute before now, as far as samples say.
        At the first look they are those of its whole life, on the average."""
        with self._lock:
            samples = self._samples
        now_s = self._clock()
        return Rates(
            _grown(samples, now_s, 1.0, view),
            _grown(samples, now_s, MINUTE_S, view),
        )


def _grown(samples: list[_Sample], now_s: float, span_s: float, view: ConnectionView) -> Counts:
    """By how much the counts of `view` have grown in the last `span_s` seconds."""
    last = counts_of(view)
    if view.age_s <= span_s:
        return last
    start: tuple[float, Counts] | None = None
    for sample in samples:
        counts = sample.counts.get(view.socket_id)
        if counts is not None and (start is None or sample.at_s <= now_s - span_s):
            start = sample.at_s, counts
    if start is None or now_s - start[0] < MIN_SPAN_S:
        start = now_s - view.age_s, (0, 0, 0, 0)
    share = min(1.0, span_s / (now_s - start[0]))
    grown = [round((new - old) * share) for new, old in zip(last, start[1], strict=True)]
    return grown[0], grown[1], grown[2], grown[3]


def counts_of(view: ConnectionView) -> Counts:
    """Its bytes and messages so far."""
    return view.in_bytes, view.in_messages, view.out_bytes, view.out_messages


RATES = ConnectionRates()
"""The rates that pages of this process show."""
