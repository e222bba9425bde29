"""Percentile: a histogram that any thread records to (bvar/detail/percentile.h)."""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.metrics.fed_recorder import FedRecorder
from pybrpc.metrics.histogram import Histogram, added
from pybrpc.metrics.recorder import IntegerRecorder
from pybrpc.metrics.tally import Tally
from pybrpc.metrics.variable import MetricValue


class Percentile(FedRecorder, IntegerRecorder):
    """Counts integers by their size; see `Histogram` for its buckets and its error.

        sizes = Percentile("request_size")
        sizes.record(len(body))
        sizes.get_number(0.99)

    See `Variable` for the arguments. Negative numbers count as 0. In Prometheus it is a histogram.
    """

    __slots__ = ()

    _INITIAL = Histogram()
    empty_window = Histogram()

    def get_value(self) -> Histogram:
        """All that was recorded."""
        value: Histogram = self._read()
        return value

    def get_number(self, ratio: float) -> int:
        """The number that `ratio` (0 to 1) of those recorded don't exceed, within 3.2 %."""
        return self.get_value().get_number(ratio)

    def reset(self) -> Histogram:
        """Return all that was recorded, and begin again."""
        value: Histogram = self._take()
        return value

    def describe(self, quote_strings: bool = False) -> str:
        """The median and the last percentile, as a list."""
        value = self.get_value()
        return f"[{value.get_number(0.5)},{value.get_number(0.99)}]"

    def metric_values(self) -> Iterable[MetricValue]:
        """A histogram."""
        return (MetricValue("", "histogram", self.get_value()),)

    def _with(self, state: Histogram, tally: Tally) -> Histogram:
        return Histogram(added(state.buckets, tally.buckets), state.total + tally.total)
