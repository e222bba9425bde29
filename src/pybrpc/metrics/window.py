"""Window and PerSecond: the recent part of another variable (bvar/window.h)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pybrpc.metrics.int_recorder import Stat
from pybrpc.metrics.numbers import DEFAULT_WINDOW_S, window_of
from pybrpc.metrics.sampled import SampledVariable
from pybrpc.metrics.series import SeriesOp
from pybrpc.metrics.text import text_of
from pybrpc.metrics.variable import MetricValue, Variable, gauge_of


class Window(Variable):
    """The change of `variable` in the last `window_s` seconds (1 to 3600).

        errors = Adder()
        recent_errors = Window(errors, 60, "errors_in_last_minute")

    Of a sum or an average: of what was added. Of a Maxer or Miner: the extreme, None without any
    number. Of a PassiveStatus: its growth. Values change once a second; the value is 0 until the
    first second is over. The first window starts the sampler. See `Variable` for other arguments.
    """

    __slots__ = ("_variable", "_window_s")

    def __init__(
        self,
        variable: SampledVariable,
        window_s: int = DEFAULT_WINDOW_S,
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        if not isinstance(variable, SampledVariable):
            raise TypeError(f"no window over a {type(variable).__name__}: it has no samples")
        self._variable = variable
        self._window_s = window_of(window_s)
        variable.keep_samples(window_s)
        super().__init__(name, prefix, help, metric_name)

    @property
    def window_s(self) -> int:
        """Seconds of the window."""
        return self._window_s

    @property
    def series_op(self) -> SeriesOp | None:  # type: ignore[override]
        """That of the variable."""
        return self._variable.series_op

    def get_value(self, window_s: int | None = None) -> Any:
        """The value of the window, or of its last `window_s` seconds."""
        span = self._span(window_s)
        if span is None:
            return self._variable.empty_window
        return span[1]

    def _span(self, window_s: int | None) -> tuple[float, Any] | None:
        return self._variable.span(self._window_s if window_s is None else window_of(window_s))

    def describe(self, quote_strings: bool = False) -> str:
        """The value as text."""
        return text_of(self.get_value(), quote_strings)

    def series_value(self) -> Any:
        """The value of the whole window."""
        value = self.get_value()
        return value.shown() if isinstance(value, Stat) else value

    def metric_values(self) -> Iterable[MetricValue]:
        """A gauge, if it is a number; the average of an IntRecorder."""
        value = self.get_value()
        return gauge_of(value.average() if isinstance(value, Stat) else value)


class PerSecond(Window):
    """How much was added to `variable` per second, on the average of the last `window_s` seconds.

        rate = PerSecond(Adder("bytes"), 10, "bytes_second")

    A sum of integers has an integer rate, rounded, as in C++. TypeError for a Maxer or Miner.
    """

    __slots__ = ()

    def __init__(
        self,
        variable: SampledVariable,
        window_s: int = DEFAULT_WINDOW_S,
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        if isinstance(variable, SampledVariable) and not variable.has_inverse:
            raise TypeError(f"a {type(variable).__name__} has no rate")
        super().__init__(
            variable, window_s, name, prefix=prefix, help=help, metric_name=metric_name
        )

    def get_value(self, window_s: int | None = None) -> Any:
        """Per second of the window, or of its last `window_s` seconds."""
        span = self._span(window_s)
        if span is None or span[0] <= 0:
            return 0
        seconds, grown = span
        if isinstance(grown, Stat):
            grown = grown.total
        rate = grown / seconds
        return round(rate) if isinstance(grown, int) else rate

    def series_value(self) -> Any:
        """The rate of the last second: a longer window would hide peaks."""
        return self.get_value(1)
