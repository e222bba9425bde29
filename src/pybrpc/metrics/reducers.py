"""Reducer, Adder, Counter, Maxer, Miner: variables that are one number (bvar/reducer.h)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

from pybrpc.metrics.numbers import number_of
from pybrpc.metrics.recorder import FOLD_AT, Recorder
from pybrpc.metrics.sampled import SampledVariable
from pybrpc.metrics.series import SeriesOp
from pybrpc.metrics.text import text_of
from pybrpc.metrics.variable import MetricValue, gauge_of


class Adder(Recorder):
    """A sum, which any thread adds to without waiting. Negative numbers are allowed.

        errors = Adder("search_errors")
        errors.add()            # 1
        errors << 2 << 3        # as in C++

    See `Variable` for the arguments. In Prometheus it is a gauge; `Counter` is a counter. In a
    forked child it begins at 0.
    """

    __slots__ = ()

    _INITIAL = 0
    series_op = SeriesOp.ADD

    def add(self, value: float = 1) -> None:
        """Add a number. TypeError if it is none, ValueError if it is not finite."""
        if value.__class__ is not int:
            value = number_of(value)
        pending = self._pending
        pending.append(value)
        if len(pending) >= FOLD_AT:
            self._fold_if_free()

    def __lshift__(self, value: float) -> Self:
        self.add(value)
        return self

    def get_value(self) -> float:
        """The sum of all that was added."""
        value: float = self._read()
        return value

    def reset(self) -> float:
        """Return the sum, and begin at 0 again. Its windows see a negative number."""
        value: float = self._take()
        return value

    def _merged(self, values: list[float]) -> float:
        total: float = self._state + sum(values)
        return total


class Counter(Adder):
    """An `Adder` that only grows: in Prometheus a counter, with `_total` at its name."""

    __slots__ = ()

    def add(self, value: float = 1) -> None:
        """Add a number. ValueError if it is negative; else as that of `Adder`."""
        if value.__class__ is not int:
            value = number_of(value)
        if value < 0:
            raise ValueError(f"a counter only grows, {value!r} can't be added")
        pending = self._pending
        pending.append(value)
        if len(pending) >= FOLD_AT:
            self._fold_if_free()

    def reset(self) -> float:
        """Not for a counter: TypeError."""
        raise TypeError("a Counter can't be reset; use an Adder")

    def metric_values(self) -> Iterable[MetricValue]:
        """A counter."""
        return (MetricValue("", "counter", self.get_value()),)


class _Extreme(Recorder):
    """The largest or smallest number. Its state is that of all times, and that since a sample."""

    __slots__ = ()

    _INITIAL: tuple[float | None, float | None] = (None, None)
    _choose: ClassVar[Callable[..., Any]]
    has_inverse = False
    empty_window = None

    def record(self, value: float) -> None:
        """Record a number. TypeError if it is none, ValueError if it is not finite."""
        if value.__class__ is not int:
            value = number_of(value)
        pending = self._pending
        pending.append(value)
        if len(pending) >= FOLD_AT:
            self._fold_if_free()

    def __lshift__(self, value: float) -> Self:
        self.record(value)
        return self

    def get_value(self) -> float | None:
        """The extreme of all numbers so far, with windows too (C++ forbids that); None if there
        was none."""
        if self._pending:
            self._fold()
        value: float | None = self._state[0]
        return value

    def reset(self) -> float | None:
        """Return the extreme, and begin again."""
        with self._lock:
            self._fold()
            value: float | None = self._state[0]
            self._state = (None, self._state[1])
        return value

    def _merged(self, values: list[float]) -> tuple[float | None, float | None]:
        found = type(self)._choose(values)
        ever, lately = self._state
        return self._combined([ever, found]), self._combined([lately, found])

    def _value_of_sample(self) -> float | None:
        with self._lock:
            self._fold()
            value: float | None = self._state[1]
            self._state = (self._state[0], None)
        return value

    def _combined(self, values: list[float | None]) -> float | None:
        numbers = [value for value in values if value is not None]
        found: float | None = type(self)._choose(numbers, default=None)
        return found


class Maxer(_Extreme):
    """The largest number that any thread has recorded.

        longest = Maxer("longest_queue")
        longest.record(17)

    See `Variable` for the arguments.
    """

    __slots__ = ()

    _choose = max
    series_op = SeriesOp.MAX


class Miner(_Extreme):
    """The smallest number that any thread has recorded. See `Maxer`."""

    __slots__ = ()

    _choose = min
    series_op = SeriesOp.MIN


class Reducer(SampledVariable):
    """Values of any type, joined by a function of the user.

        names = Reducer(operator.add, "", name="names")

    operator   joins the value so far and a new one; its order must not matter
    initial    the value with nothing recorded
    inverse    takes an earlier value out of a later one; without, there are no windows over it

    Threads wait for each other while `operator` runs; it raises where the value is recorded.
    """

    __slots__ = ("_initial", "_inverse", "_operator", "_value")

    def __init__(
        self,
        operator: Callable[[Any, Any], Any],
        initial: Any,
        inverse: Callable[[Any, Any], Any] | None = None,
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        if not callable(operator):
            raise TypeError("operator is a function of two values")
        self._operator = operator
        self._initial = initial
        self._inverse = inverse
        self._value = initial
        super().__init__(name, prefix, help, metric_name)

    def _clear(self) -> None:
        self._value = self._initial

    def record(self, value: Any) -> None:
        """Join `value` to those before."""
        with self._lock:
            self._value = self._operator(self._value, value)

    def __lshift__(self, value: Any) -> Reducer:
        self.record(value)
        return self

    def get_value(self) -> Any:
        """All that was recorded, joined."""
        return self._value

    def reset(self) -> Any:
        """Return the value, and begin again."""
        with self._lock:
            value, self._value = self._value, self._initial
        return value

    def keep_samples(self, window_s: int) -> None:
        """See `SampledVariable`. TypeError without an `inverse`."""
        if self._inverse is None:
            raise TypeError("a window over a Reducer needs its inverse")
        super().keep_samples(window_s)

    def span(self, window_s: int) -> tuple[float, Any] | None:
        """See `SampledVariable`."""
        samples = self._samples
        number = min(window_s + 1, len(samples))
        if number < 2 or self._inverse is None:
            return None
        latest, oldest = samples[-1], samples[-number]
        return latest.time_s - oldest.time_s, self._inverse(latest.value, oldest.value)

    def describe(self, quote_strings: bool = False) -> str:
        """The value as text."""
        return text_of(self._value, quote_strings)

    def metric_values(self) -> Iterable[MetricValue]:
        """A gauge, if it is a number."""
        return gauge_of(self._value)
