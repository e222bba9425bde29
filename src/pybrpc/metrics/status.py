"""Status and PassiveStatus: values that are set, or computed when read (bvar/status.h,
passive_status.h)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from pybrpc.base.guard import LIBRARY, deliver_interrupt
from pybrpc.base.limited_log import LimitedLog
from pybrpc.metrics.sampled import SampledVariable
from pybrpc.metrics.series import SeriesOp
from pybrpc.metrics.text import text_of
from pybrpc.metrics.variable import MetricValue, Variable, gauge_of

COUNT = "_count"
"""An ending of names that bRPC gives to numbers of things."""

T = TypeVar("T")


class Status(Variable, Generic[T]):
    """A value that is set now and then: a number, a string, or anything with a `str`.

        state = Status("starting", "loader_state")
        state.set_value("ready")

    See `Variable` for the other arguments. A forked child has the value of its parent.
    """

    __slots__ = ("_value",)

    series_op = SeriesOp.ADD

    def __init__(
        self,
        value: T,
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        self._value = value
        super().__init__(name, prefix, help, metric_name)

    def get_value(self) -> T:
        """The value that was set last."""
        return self._value

    def set_value(self, value: T) -> None:
        """Set it. Atomic."""
        self._value = value


class PassiveStatus(SampledVariable, Generic[T]):
    """A value that `function()` computes whenever it is read, in the thread that reads it.

        PassiveStatus(lambda: len(jobs), "jobs_waiting")

    is_counter   the value only grows: a counter in Prometheus, with `_total` at its name

    The function may return a number, a string or a list of numbers. It may raise anything: pages
    show the type of the exception, Prometheus sees no value, and a line a second is logged. Below a
    window it also runs in the sampler, once a second: it should not block.

    See `Variable` for the other arguments.
    """

    __slots__ = ("_function", "_is_counter", "_log")

    series_op = SeriesOp.ADD

    def __init__(
        self,
        function: Callable[[], T],
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
        is_counter: bool = False,
    ) -> None:
        if not callable(function):
            raise TypeError("function is called without arguments for the value")
        self._function = function
        self._is_counter = is_counter
        self._log = LimitedLog(LIBRARY)
        super().__init__(name, prefix, help, metric_name)

    def get_value(self) -> T:
        """The result of the function now; it may raise."""
        return self._function()

    def describe(self, quote_strings: bool = False) -> str:
        """The value as text."""
        return text_of(self._function(), quote_strings)

    def take_sample(self, now_s: float) -> bool:
        """Add a sample; none if the function raises, or its value is no number."""
        try:
            value = self._function()
            if isinstance(value, int | float):
                self._add_sample(now_s, value)
        except BaseException as error:
            self._log.warn("the function of %s raised", self._name or "a variable", reason=error)
            deliver_interrupt(error)
        return True

    def _begin_in_child(self) -> None:
        """No sample yet: the function must not run while the process forks."""

    def metric_values(self) -> Iterable[MetricValue]:
        """A counter or a gauge, if it is a number."""
        value: Any = self._function()
        if not self._is_counter:
            return gauge_of(value)
        return (MetricValue("", "counter", value),) if isinstance(value, int | float) else ()


class NumberOf(PassiveStatus[int]):
    """How many of something there are now, such as rpc_socket_count.

    Prometheus sees the gauge rpc_sockets: there, names that end in _count belong to histograms.
    """

    __slots__ = ()

    @property
    def metric_name(self) -> str | None:
        """The plural, of a variable whose name ends in _count."""
        if self._metric_name is None and self._name.endswith(COUNT):
            return f"{self._name.removesuffix(COUNT)}s"
        return self._metric_name
