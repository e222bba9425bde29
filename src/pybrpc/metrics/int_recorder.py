"""IntRecorder: an average (bvar/recorder.h)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pybrpc.metrics.numbers import MAX_INT, MIN_INT
from pybrpc.metrics.recorder import IntegerRecorder
from pybrpc.metrics.series import SeriesOp
from pybrpc.metrics.variable import MetricValue


@dataclass(frozen=True, slots=True)
class Stat:
    """The sum (`total`) and the number (`count`) of some integers."""

    total: int = 0
    count: int = 0

    def __add__(self, other: Stat) -> Stat:
        return Stat(self.total + other.total, self.count + other.count)

    def __sub__(self, other: Stat) -> Stat:
        return Stat(self.total - other.total, self.count - other.count)

    def average_int(self) -> int:
        """The average without its fraction, as C++ divides; 0 of nothing."""
        if not self.count:
            return 0
        average = abs(self.total) // self.count
        return average if self.total >= 0 else -average

    def average(self) -> float:
        """The average; 0.0 of nothing."""
        return self.total / self.count if self.count else 0.0

    def shown(self) -> float:
        """The number that C++ shows: the integer, or the fraction of one that would be 0."""
        return self.average_int() or self.average()

    def __str__(self) -> str:
        shown = self.shown()
        return str(shown) if isinstance(shown, int) else f"{shown:g}"


class IntRecorder(IntegerRecorder):
    """The average of integers, which any thread records without waiting.

        sizes = IntRecorder("request_size")
        sizes.record(len(body))

    See `Variable` for the arguments. Other numbers are rounded; those of more than 64 bits count
    as the largest or smallest of 64 bits.
    """

    __slots__ = ()

    _INITIAL = Stat()
    empty_window = Stat()
    series_op = SeriesOp.ADD

    def get_value(self) -> Stat:
        """Sum and number of all that was recorded."""
        value: Stat = self._read()
        return value

    def average(self) -> float:
        """The average, with its fraction. `get_value().average_int()` is that of C++."""
        return self.get_value().average()

    def reset(self) -> Stat:
        """Return sum and number, and begin again. Its windows see negative ones."""
        value: Stat = self._take()
        return value

    def series_value(self) -> float:
        """The average, for the series."""
        return self.get_value().shown()

    def metric_values(self) -> Iterable[MetricValue]:
        """The average as a gauge."""
        return (MetricValue("", "gauge", self.average()),)

    def _merged(self, values: list[int]) -> Stat:
        state: Stat = self._state
        if max(values) > MAX_INT or min(values) < MIN_INT:
            values = [min(max(value, MIN_INT), MAX_INT) for value in values]
        return Stat(state.total + sum(values), state.count + len(values))
