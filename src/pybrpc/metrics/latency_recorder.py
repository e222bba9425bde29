"""LatencyRecorder: average, maximum, rate and percentiles (bvar/latency_recorder.h)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pybrpc.base.lazy_modules import json
from pybrpc.metrics.fed_recorder import FedRecorder
from pybrpc.metrics.histogram import Histogram, Ranking, added, taken_out
from pybrpc.metrics.int_recorder import Stat
from pybrpc.metrics.names import exposed_name
from pybrpc.metrics.numbers import (
    DEFAULT_WINDOW_S,
    MICROSECONDS,
    integer_of,
    window_of,
)
from pybrpc.metrics.recorder import FOLD_AT
from pybrpc.metrics.registry import Display, Entry, exposed
from pybrpc.metrics.sampled import Sample
from pybrpc.metrics.series import SeriesOp
from pybrpc.metrics.tally import Tally
from pybrpc.metrics.text import text_of
from pybrpc.metrics.variable import MetricValue, Variable

RATIOS = {"80": 0.8, "90": 0.9, "99": 0.99, "999": 0.999, "9999": 0.9999}
"""The percentiles that are exposed (-bvar_latency_p1, _p2, _p3, and two more)."""
PERCENTILES = (0.8, 0.9, 0.99, 0.999)
PERCENTILE_LABELS = ("80%", "90%", "99%", "99.9%")
_CDF = [
    *((place * 10, place / 10) for place in range(1, 10)),
    *((place, place / 100) for place in range(91, 100)),
    (100, 0.999),
    (101, 0.9999),
]
_NO_BUCKETS: Mapping[int, int] = {}


class _State(NamedTuple):
    """All latencies, and those since the last sample (`tick_`)."""

    stat: Stat = Stat()
    buckets: Mapping[int, int] = _NO_BUCKETS
    tick_max: int = 0
    tick_buckets: Mapping[int, int] = _NO_BUCKETS


class _Second(NamedTuple):
    """A sample: sum and number of all times, and the rest of one second."""

    stat: Stat
    max_us: int
    buckets: Mapping[int, int]


class LatencyRecorder(FedRecorder):
    """Latencies in microseconds, which any thread records without waiting.

        latency = LatencyRecorder("search")
        latency.record(elapsed_us)

    It is exposed as several variables: search_latency (the average in the window), _max_latency,
    _count (of all times), _qps, _latency_80, _90, _99, _999, _9999, and for HTML _latency_cdf and
    _latency_percentiles. `window_s` is that of all of these but the count: 1 to 3600 seconds. In
    Prometheus it is a histogram in seconds, search_latency_seconds, and the gauge
    search_max_latency_seconds.

    See `Variable` for the other arguments. The first recorder starts the sampler. Percentiles are
    within 3.2 %. A negative latency, after a step of a clock, counts as 0.
    """

    __slots__ = ("_parts", "_ranking", "_window_buckets", "_window_s")

    _INITIAL = _State()
    empty_window = Stat()

    def __init__(
        self,
        name: str | None = None,
        *,
        prefix: str = "",
        window_s: int = DEFAULT_WINDOW_S,
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        self._window_s = window_of(window_s)
        self._window_buckets = _NO_BUCKETS
        self._ranking = Ranking(_NO_BUCKETS)
        self._parts: tuple[LatencyPart, ...] = ()
        super().__init__(None, prefix=prefix, help=help, metric_name=metric_name)
        self.keep_samples(window_s)
        if name is not None:
            self.expose(name, prefix=prefix)

    @property
    def window_s(self) -> int:
        """Seconds of the window."""
        return self._window_s

    def record(self, latency_us: float) -> None:
        """Record microseconds. TypeError for no number, ValueError for one that is not finite."""
        if latency_us.__class__ is not int:
            latency_us = integer_of(latency_us)
        pending = self._pending
        pending.append(latency_us)
        if len(pending) >= FOLD_AT:
            self._fold_if_free()

    def __lshift__(self, latency_us: float) -> LatencyRecorder:
        self.record(latency_us)
        return self

    # --- what was recorded ---

    def count(self) -> int:
        """The number of latencies of all times."""
        return self._folded().stat.count

    def get_value(self) -> Histogram:
        """All latencies, with their sum."""
        state = self._folded()
        return Histogram(state.buckets, state.stat.total)

    def stat(self, window_s: int | None = None) -> Stat:
        """Sum and number of the latencies in the window, or in its last `window_s` seconds."""
        span = self.span(self._window_s if window_s is None else window_of(window_s))
        return Stat() if span is None else span[1]

    def latency(self, window_s: int | None = None) -> int:
        """The average in the window, in microseconds."""
        return self.stat(window_s).average_int()

    def max_latency(self) -> int:
        """The longest in the window, in microseconds; 0 without any."""
        return self._ranking.maximum or 0

    def max_latency_of_last_second(self) -> int:
        """The longest in the last second that was sampled."""
        samples = self._samples
        maximum: int = samples[-1].value.max_us if samples else 0
        return maximum

    def qps(self, window_s: int | None = None) -> int:
        """Latencies recorded per second of the window. An integer as in C++: 2.5 is 2 or 3 by
        chance, and right on the average."""
        rate = self.rate(window_s)
        whole = int(rate)
        return whole + (rate - whole > random.random())

    def rate(self, window_s: int | None = None) -> float:
        """Latencies recorded per second of the window."""
        span = self.span(self._window_s if window_s is None else window_of(window_s))
        return span[1].count / span[0] if span is not None and span[0] > 0 else 0.0

    def latency_percentile(self, ratio: float) -> int:
        """The latency that `ratio` (0 to 1) of those in the window don't exceed, within 3.2 %."""
        return self._ranking.get_number(ratio)

    def latency_percentiles(self) -> list[int]:
        """The percentiles 80, 90, 99 and 99.9."""
        return [self._ranking.get_number(ratio) for ratio in PERCENTILES]

    def window_buckets(self) -> Mapping[int, int]:
        """How many of those in the window are in each bucket; see `histogram.py`."""
        return self._window_buckets

    def latency_cdf(self) -> list[tuple[int, int]]:
        """Pairs of percentage and latency; 100 means 99.9 %, 101 means 99.99 %, as in C++."""
        ranking = self._ranking
        return [(place, ranking.get_number(ratio)) for place, ratio in _CDF]

    def describe(self, quote_strings: bool = False) -> str:
        """All in one line, as C++ prints a recorder."""
        return (
            f"{{latency={self.latency()} max{self._window_s}={self.max_latency()} "
            f"qps={self.qps()} count={self.count()}}}"
        )

    def metric_values(self) -> Iterable[MetricValue]:
        """A histogram, and a gauge of the maximum, both in seconds."""
        return (
            MetricValue("_latency_seconds", "histogram", self.get_value(), MICROSECONDS),
            MetricValue("_max_latency_seconds", "gauge", self.max_latency() / MICROSECONDS),
        )

    # --- exposing ---

    def expose(self, name: str, *, prefix: str = "", display: Display = Display.ALL) -> None:
        """Expose all parts below `name`, which may end in "latency". ValueError if one of their
        names is in use: then nothing changes."""
        base = name
        if isinstance(name, str) and name.endswith(("latency", "Latency")):
            base = name[: -len("latency")]
        if not base:
            raise ValueError(f"{name!r} is no prefix for the names of a LatencyRecorder")
        stem = exposed_name(base, prefix).rstrip("_")
        if not stem:
            raise ValueError(f"{name!r} is no prefix for the names of a LatencyRecorder")
        parts = tuple(LatencyPart(self, stem, suffix) for suffix in PARTS)
        exposed.expose(
            {part.name: Entry(part, display & PARTS[part.suffix].display) for part in parts},
            [part.name for part in self._parts],
        )
        self._name = stem
        self._parts = parts

    def hide(self) -> bool:
        """Remove all parts from the registry. False if they were not exposed."""
        if not self._parts:
            return False
        exposed.hide(part.name for part in self._parts)
        self._parts = ()
        self._name = ""
        return True

    # --- recording and sampling ---

    def _clear(self) -> None:
        super()._clear()
        self._window_buckets = _NO_BUCKETS
        self._ranking = Ranking(_NO_BUCKETS)

    def _folded(self) -> _State:
        state: _State = self._read()
        return state

    def _with(self, state: _State, tally: Tally) -> _State:
        more = tally.buckets
        stat = Stat(state.stat.total + tally.total, state.stat.count + tally.count)
        return _State(
            stat,
            added(state.buckets, more),
            max(state.tick_max, tally.largest),
            added(state.tick_buckets, more) if state.tick_buckets else more,
        )

    def _value_of_sample(self) -> _Second:
        self._flush_feeds()
        with self._lock:
            self._fold()
            state: _State = self._state
            if state.tick_buckets:
                self._state = _State(state.stat, state.buckets)
        return _Second(state.stat, state.tick_max, state.tick_buckets)

    def keep_samples(self, window_s: int) -> None:
        """See `SampledVariable`. ValueError above the window of the recorder: its percentiles are
        those of all samples that it keeps."""
        if window_of(window_s) > self._window_s:
            raise ValueError(f"the LatencyRecorder has a window of {self._window_s} seconds only")
        super().keep_samples(self._window_s)

    def take_sample(self, now_s: float) -> bool:
        """Add a sample, and bring the percentiles of the window up to date. For the sampler."""
        before = self._samples
        super().take_sample(now_s)
        latest: _Second = self._samples[-1].value
        buckets = self._window_buckets
        if before and latest.buckets:
            buckets = added(buckets, latest.buckets)
        # The oldest sample only marks where the window begins: what came before it is not in it.
        if len(before) == self._max_samples and before[1].value.buckets:
            buckets = taken_out(buckets, before[1].value.buckets)
        if buckets is not self._window_buckets:
            self._window_buckets = buckets
            maximum = max((sample.value.max_us for sample in self._samples[1:]), default=0)
            self._ranking = Ranking(buckets, maximum)
        return True

    def span(self, window_s: int) -> tuple[float, Stat] | None:
        """See `SampledVariable`."""
        samples: tuple[Sample, ...] = self._samples
        number = min(window_s + 1, len(samples))
        if number < 2:
            return None
        latest, oldest = samples[-1], samples[-number]
        return latest.time_s - oldest.time_s, latest.value.stat - oldest.value.stat


class _PartKind(NamedTuple):
    value: Callable[[LatencyRecorder], Any]
    series_op: SeriesOp | None
    display: Display = Display.ALL
    series_value: Callable[[LatencyRecorder], Any] | None = None


def _percentile(ratio: float) -> Callable[[LatencyRecorder], int]:
    return lambda recorder: recorder.latency_percentile(ratio)


PARTS = {
    "_latency": _PartKind(
        lambda recorder: recorder.stat().shown(),
        SeriesOp.ADD,
        series_value=lambda recorder: recorder.stat(1).shown(),
    ),
    "_max_latency": _PartKind(
        LatencyRecorder.max_latency,
        SeriesOp.MAX,
        series_value=LatencyRecorder.max_latency_of_last_second,
    ),
    "_count": _PartKind(LatencyRecorder.count, SeriesOp.ADD),
    "_qps": _PartKind(LatencyRecorder.qps, SeriesOp.ADD),
    **{
        f"_latency_{digits}": _PartKind(
            _percentile(ratio),
            SeriesOp.ADD,
            Display.ALL if digits == "9999" else Display.PLAIN_TEXT,
        )
        for digits, ratio in RATIOS.items()
    },
    "_latency_cdf": _PartKind(lambda recorder: "click to view", None, Display.HTML),
    "_latency_percentiles": _PartKind(
        LatencyRecorder.latency_percentiles, SeriesOp.ADD, Display.HTML
    ),
}
"""The variables of a LatencyRecorder, by the end of their names."""


class LatencyPart(Variable):
    """One of the variables as which a LatencyRecorder is exposed."""

    __slots__ = ("_kind", "recorder", "series_op", "stem", "suffix")

    def __init__(self, recorder: LatencyRecorder, stem: str, suffix: str) -> None:
        super().__init__(None)
        self.stem = stem
        self._name = stem + suffix
        self._kind = PARTS[suffix]
        self.recorder = recorder
        self.suffix = suffix
        self.series_op = self._kind.series_op

    @property
    def help(self) -> str:
        """The line for people."""
        return self.recorder.help

    @property
    def metric_name(self) -> str | None:
        """That of the recorder, for the part that is its histogram."""
        return self.recorder.metric_name

    def expose(self, name: str, *, prefix: str = "", display: Display = Display.ALL) -> None:
        """Not alone: TypeError."""
        raise TypeError("a part is exposed by its LatencyRecorder")

    def hide(self) -> bool:
        """Not alone: TypeError."""
        raise TypeError("a part is hidden by its LatencyRecorder")

    def get_value(self) -> Any:
        """The value of this part."""
        return self._kind.value(self.recorder)

    def describe(self, quote_strings: bool = False) -> str:
        """The value as text."""
        return text_of(self._kind.value(self.recorder), quote_strings or self._is_cdf())

    def _is_cdf(self) -> bool:
        return self.suffix == "_latency_cdf"

    def series_value(self) -> Any:
        """The average is kept of each second; all other parts are those of the window."""
        return (self._kind.series_value or self._kind.value)(self.recorder)

    def series_labels(self) -> tuple[str, ...]:
        """The names of the percentiles."""
        return PERCENTILE_LABELS

    def describe_series(self) -> str | None:
        """The series as JSON. Of _latency_cdf it is the distribution in the window."""
        if not self._is_cdf():
            return super().describe_series()
        data = [list(pair) for pair in self.recorder.latency_cdf()]
        return json.dumps({"label": "cdf", "data": data}, separators=(",", ":"))

    def metric_values(self) -> Iterable[MetricValue]:
        """The metrics of the whole recorder, for the first part; none for the others."""
        if self.suffix != "_latency":
            return ()
        return self.recorder.metric_values()
