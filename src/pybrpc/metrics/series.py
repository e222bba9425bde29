"""Series: values of the last 60 seconds, 60 minutes, 24 hours and 30 days (bvar/detail/series.h).

A series is kept of exposed variables, if `SERIES.start` was called: 174 numbers each.
"""

from __future__ import annotations

import enum
import math
from array import array
from collections.abc import Sequence

from pybrpc.base.lazy_modules import json
from pybrpc.base.renewed import renew_in_child
from pybrpc.metrics.registry import exposed
from pybrpc.metrics.sampler import default_sampler

SPANS = (60, 60, 24, 30)
"""Values of each span: seconds, minutes, hours, days."""
_STARTS = (0, 60, 120, 144)
POINTS = sum(SPANS)
MAX_VECTOR = 8
"""Longest list of numbers of which series are kept."""
MAX_SERIES = 10_000
"""Variables of which series are kept at once. 10,000 of them hold about 20 MB."""


class SeriesOp(enum.Enum):
    """How values of a shorter span become one of the next: averaged, the largest, the smallest."""

    ADD = enum.auto()
    MAX = enum.auto()
    MIN = enum.auto()


class Series:
    """The series of one number. `append` is for one thread."""

    __slots__ = ("_at", "_is_integral", "_op", "_values")

    def __init__(self, op: SeriesOp) -> None:
        self._op = op
        self._at = [0, 0, 0, 0]
        self._values = array("d", bytes(8 * POINTS))
        self._is_integral = True

    def append(self, value: float) -> None:
        """Add the value of a second. Each 60 become one of a minute, and so on."""
        self._is_integral = self._is_integral and isinstance(value, int)
        values, at = self._values, self._at
        for span, (size, start) in enumerate(zip(SPANS, _STARTS, strict=True)):
            values[start + at[span]] = value
            at[span] += 1
            if at[span] < size:
                return
            at[span] = 0
            value = self._joined(values[start : start + size])

    def _joined(self, values: array[float]) -> float:
        if self._op is SeriesOp.MAX:
            return max(values)
        if self._op is SeriesOp.MIN:
            return min(values)
        average = sum(values) / len(values)
        return math.floor(average + 0.5) if self._is_integral else average

    def points(self) -> list[float]:
        """All values, the oldest first: 30 days, 24 hours, 60 minutes, 60 seconds."""
        found: list[float] = []
        for span in (3, 2, 1, 0):
            start, at = _STARTS[span], self._at[span]
            values = self._values[start : start + SPANS[span]]
            found.extend(values[at:])
            found.extend(values[:at])
        return [int(each) for each in found] if self._is_integral else found


class VariableSeries:
    """The series of one variable: one of a number, some of a list of numbers."""

    __slots__ = ("_is_list", "_op", "_series")

    def __init__(self, op: SeriesOp) -> None:
        self._op = op
        self._series: list[Series] = []
        self._is_list = False

    def append(self, value: object) -> None:
        """Add the value of a second. Nothing but numbers, and short lists of numbers, is kept."""
        self._is_list = isinstance(value, list | tuple)
        numbers: Sequence[object] = value if isinstance(value, list | tuple) else (value,)
        if not 0 < len(numbers) <= MAX_VECTOR:
            return
        for place, number in enumerate(numbers):
            if place == len(self._series):
                self._series.append(Series(self._op))
            self._series[place].append(_kept(number))

    def describe(self, labels: Sequence[str] = ()) -> str | None:
        """JSON as C++ has it: `{"label":"trend","data":[[0,value],...]}`, or a list of such."""
        series = self._series.copy()
        if not series:
            return None
        if not self._is_list:
            return _as_json("trend", series[0].points())
        named = (*labels, *(f"Vector[{place}]" for place in range(len(labels), len(series))))
        parts = (_as_json(label, each.points()) for label, each in zip(named, series, strict=False))
        return f"[{','.join(parts)}]"


def _kept(number: object) -> float:
    if not isinstance(number, int | float):
        return 0
    return number if abs(number) < 1e300 else 0.0  # NaN, infinity, and what no double holds


def _as_json(label: str, points: Sequence[float]) -> str:
    data = ",".join(f"[{place},{value:.15g}]" for place, value in enumerate(points))
    return f'{{"label":{json.dumps(label)},"data":[{data}]}}'


class _Ticket:
    """Has the sampler ask a keeper, until that is stopped or started anew."""

    __slots__ = ("__weakref__", "_keeper")

    def __init__(self, keeper: SeriesKeeper) -> None:
        self._keeper = keeper

    def take_sample(self, now_s: float) -> bool:
        """See `Sampled`."""
        return self._keeper.add_second(self)


class SeriesKeeper:
    """The series of all exposed variables; none before `start`. Values are read by the sampler, a
    variable without series costs nothing."""

    __slots__ = ("__weakref__", "_series", "_ticket", "max_series")

    def __init__(self) -> None:
        self._series: dict[str, tuple[object, VariableSeries]] = {}
        self._ticket: _Ticket | None = None
        self.max_series = MAX_SERIES
        renew_in_child(self)

    @property
    def is_started(self) -> bool:
        """Whether series are kept."""
        return self._ticket is not None

    def start(self, max_series: int = MAX_SERIES) -> None:
        """Keep series from now on, of at most `max_series` variables. Starts the sampler."""
        if max_series < 1:
            raise ValueError("max_series is at least 1")
        self.max_series = max_series
        self._ticket = ticket = _Ticket(self)
        default_sampler().add(ticket)

    def stop(self) -> None:
        """Keep no series any more, and forget those that were."""
        self._ticket = None
        self._series = {}

    def find(self, name: str) -> VariableSeries | None:
        """The series of the variable that is exposed as `name`."""
        found = self._series.get(name)
        return None if found is None else found[1]

    def renew_locks(self) -> None:
        """In a forked child: forget what the parent has kept."""
        self._series = {}

    def add_second(self, ticket: _Ticket) -> bool:
        """Add a value to each series. For the sampler; False if `ticket` is not the latest."""
        if ticket is not self._ticket:
            return False
        kept: dict[str, tuple[object, VariableSeries]] = {}
        for name, entry in exposed.entries():
            variable = entry.variable
            if variable.series_op is None or len(kept) >= self.max_series:
                continue
            old = self._series.get(name)
            if old is None or old[0] is not variable:
                old = (variable, VariableSeries(variable.series_op))
            kept[name] = old
            try:
                old[1].append(variable.series_value())
            except BaseException as error:
                exposed.log_raised(name, error)
        if ticket is self._ticket:
            self._series = kept
        return True


SERIES = SeriesKeeper()
"""The series of this process."""
