"""SpanStore: the newest spans that have ended, up to a number of bytes; instead of bRPC's leveldb.

`put` never waits: it may run in a turn of the dispatcher, or in a signal handler that has
interrupted another `put` of the same thread. It appends the span to `_arrived` and then files all
that have arrived, if no other thread does so just now. The thread that does so looks once more
after it has released the lock: so one of the two files the span (store, then load; see
base.atomic).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from pybrpc.tracing.query import MAX_SCAN, SpanQuery
from pybrpc.tracing.span import Span
from pybrpc.tracing.time_index import TimeIndex

INDEX_BYTES = 250
"""Estimated memory of the entries of a span in the indexes, in bytes."""

MAX_FILED = 256
"""Spans that one `put` files at most."""


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Numbers of a SpanStore.

    spans       spans that it has
    size_bytes  about how much memory they take
    max_bytes   the most that they may take
    evicted     spans that had to leave for newer ones
    oldest_us   when its oldest span began, in microseconds since 1970; 0 if there is none
    """

    spans: int
    size_bytes: int
    max_bytes: int
    evicted: int
    oldest_us: int


class SpanStore:
    """Keeps spans that have ended; those that ended first leave first. Any thread.

    `put` never blocks. The others wait for each other, for about a millisecond at most; so they are
    not for signal handlers.
    """

    __slots__ = (
        "_arrived",
        "_by_time",
        "_by_trace",
        "_evicted",
        "_lock",
        "_max_bytes",
        "_ring",
        "_size_bytes",
    )

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._arrived: deque[Span] = deque()
        self._ring: deque[Span] = deque()
        """In the order in which they ended."""
        self._by_time = TimeIndex()
        self._by_trace: dict[int, list[Span]] = {}
        """Spans of each trace, in the order of `_ring`."""
        self._size_bytes = 0
        self._evicted = 0

    def put(self, span: Span) -> None:
        """Store a span that is over. Never blocks."""
        arrived = self._arrived
        arrived.append(span)
        while arrived and self._lock.acquire(blocking=False):
            try:
                self._file(MAX_FILED)
            finally:
                self._lock.release()

    @property
    def max_bytes(self) -> int:
        """Memory that its spans may take, in bytes; an estimate."""
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, max_bytes: int) -> None:
        with self._filed():
            self._max_bytes = max_bytes
            self._evict()

    def newest(self, query: SpanQuery | None = None) -> list[Span]:
        """The spans that fit, from the one that began last on. `None`: the newest 100."""
        query = query or SpanQuery()
        with self._filed():
            looked_at = list(islice(self._by_time.newest(query.before_us), query.max_scan))
        return list(islice(filter(query.fits, looked_at), query.limit))

    def trace(self, trace_id: int, limit: int = MAX_SCAN) -> list[Span]:
        """The spans of the trace `trace_id`, by their starts; the newest `limit` of them. Nested
        ones are in their `client_spans`."""
        with self._filed():
            found = self._by_trace.get(trace_id, [])[-limit:]
        return sorted(found, key=lambda span: span.start_us)

    def find(self, trace_id: int, span_id: int) -> Span | None:
        """The span `span_id` of the trace `trace_id`; of a server's span and a client's, the
        server's."""
        found = self.trace(trace_id)
        nested = (inner for span in found for inner in span.client_spans)
        either = [span for span in (*found, *nested) if span.span_id == span_id]
        return next((span for span in either if span.is_server), either[0] if either else None)

    def clear(self) -> None:
        """Forget all spans."""
        with self._filed():
            self._evict(max_bytes=0)

    def statistics(self) -> StoreStatistics:
        """Its numbers, as they are now."""
        with self._filed():
            oldest_us = min((span.start_us for span in islice(self._ring, 1)), default=0)
            return StoreStatistics(
                len(self._ring), self._size_bytes, self._max_bytes, self._evicted, oldest_us
            )

    def __len__(self) -> int:
        """The number of spans, without nested ones."""
        return len(self._ring) + len(self._arrived)

    @contextmanager
    def _filed(self) -> Iterator[None]:
        """With the lock, and all that has arrived filed."""
        with self._lock:
            self._file(len(self._arrived))
            yield
        self._put_arrived()

    def _put_arrived(self) -> None:
        """File what has come while this thread had the lock."""
        while self._arrived and self._lock.acquire(blocking=False):
            try:
                self._file(MAX_FILED)
            finally:
                self._lock.release()

    def _file(self, most: int) -> None:
        arrived = self._arrived
        while most and arrived:
            most -= 1
            span = arrived.popleft()
            self._size_bytes += span.size_bytes + INDEX_BYTES
            self._ring.append(span)
            self._by_time.add(span)
            self._by_trace.setdefault(span.trace_id, []).append(span)
        if self._size_bytes > self._max_bytes:
            self._evict()

    def _evict(self, max_bytes: int | None = None) -> None:
        most = self._max_bytes if max_bytes is None else max_bytes
        while self._ring and self._size_bytes > most:
            span = self._ring.popleft()
            self._size_bytes -= span.size_bytes + INDEX_BYTES
            self._by_time.discard(span)
            self._forget_in_trace(span)
            self._evicted += 1
        if not self._ring:
            self._size_bytes = 0

    def _forget_in_trace(self, span: Span) -> None:
        of_trace = self._by_trace.get(span.trace_id)
        # It is the first one, unless a signal handler has raised while it was filed.
        if of_trace is not None and of_trace[0] is span:
            del of_trace[0]
            if not of_trace:
                del self._by_trace[span.trace_id]

    def __repr__(self) -> str:
        return f"<SpanStore {len(self)} spans, {self._size_bytes} of {self._max_bytes} bytes>"
