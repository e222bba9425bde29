"""TimeIndex: spans in the order of their starts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from pybrpc.tracing.span import Span

MIN_GAPS = 64
"""Gaps in the lists before they are closed."""


class TimeIndex:
    """Spans by their starts. Spans come nearly in order, and leave nearly in order.

    A span that leaves leaves a gap; the lists close their gaps when half of them is gaps. So both
    cost a constant time on average. Not thread-safe.
    """

    __slots__ = ("_gaps", "_spans", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._spans: list[Span | None] = []
        self._gaps = 0

    def add(self, span: Span) -> None:
        """Add a span whose `start_us` won't change."""
        start_us, starts = span.start_us, self._starts
        if not starts or start_us >= starts[-1]:
            starts.append(start_us)
            self._spans.append(span)
            return
        place = bisect_right(starts, start_us)
        starts.insert(place, start_us)
        self._spans.insert(place, span)

    def discard(self, span: Span) -> None:
        """Remove a span, if it is there."""
        spans, starts, start_us = self._spans, self._starts, span.start_us
        place = bisect_right(starts, start_us - 1)
        while place < len(spans) and starts[place] == start_us:
            if spans[place] is span:
                spans[place] = None
                self._gaps += 1
                break
            place += 1
        if self._gaps > max(MIN_GAPS, len(spans) // 2):
            self._close_gaps()

    def newest(self, before_us: int | None = None) -> Iterator[Span]:
        """Spans from the newest on; with `before_us` those that began at or before it."""
        place = len(self._starts)
        if before_us is not None:
            place = bisect_right(self._starts, before_us)
        for index in range(place - 1, -1, -1):
            span = self._spans[index]
            if span is not None:
                yield span

    def __len__(self) -> int:
        return len(self._spans) - self._gaps

    def _close_gaps(self) -> None:
        self._spans = [span for span in self._spans if span is not None]
        self._starts = [span.start_us for span in self._spans if span is not None]
        self._gaps = 0
