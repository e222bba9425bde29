"""Percentile: a histogram that any thread records to (bvar/detail/percentile.h)."""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.metrics.histogram import Histogram, added, buckets_of
from pybrpc.metrics.numbers import MAX_INT, integer_of
from pybrpc.metrics.recorder import FOLD_AT, Recorder
from pybrpc.metrics.variable import MetricValue


class Percentile(Recorder):
    """Counts integers by their size; see `Histogram` for its buckets and its error.

        sizes = Percentile("request_size")
        sizes.record(len(body))
        sizes.get_number(0.99)

    See `Variable` for the arguments. Negative numbers count as 0. In Prometheus it is a histogram.
    """

    __slots__ = ()

    _INITIAL = Histogram()
    empty_window = Histogram()

    def __init__(
        self,
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        super().__init__(name, prefix, help, metric_name)

    def record(self, value: float) -> None:
        """Record a number. TypeError if it is none, ValueError if it is not finite."""
        if value.__class__ is not int:
            value = integer_of(value)
        pending = self._pending
        pending.append(value)
        if len(pending) >= FOLD_AT:
            self._fold_if_free()

    def __lshift__(self, value: float) -> Percentile:
        self.record(value)
        return self

    def get_value(self) -> Histogram:
        """All that was recorded."""
        if self._pending:
            self._fold()
        value: Histogram = self._state
        return value

    def get_number(self, ratio: float) -> int:
        """The number that `ratio` (0 to 1) of those recorded don't exceed, within 3.2 %."""
        return self.get_value().get_number(ratio)

    def reset(self) -> Histogram:
        """Return all that was recorded, and begin again."""
        with self._lock:
            self._fold()
            value: Histogram = self._state
            self._state = Histogram()
        return value

    def describe(self, quote_strings: bool = False) -> str:
        """The median and the last percentile, as a list."""
        value = self.get_value()
        return f"[{value.get_number(0.5)},{value.get_number(0.99)}]"

    def metric_values(self) -> Iterable[MetricValue]:
        """A histogram."""
        return (MetricValue("", "histogram", self.get_value()),)

    def _merged(self, values: list[int]) -> Histogram:
        state: Histogram = self._state
        largest, smallest = max(values), min(values)
        if smallest < 0 or largest > MAX_INT:
            values = [min(max(value, 0), MAX_INT) for value in values]
            largest = max(values)
        buckets = added(state.buckets, buckets_of(values, largest))
        return Histogram(buckets, state.total + sum(values))
