"""Variable: the base of all variables (bvar/variable.h)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from pybrpc.base.not_copied import NotCopied
from pybrpc.metrics.histogram import Histogram
from pybrpc.metrics.names import checked_metric_name, exposed_name
from pybrpc.metrics.registry import Display, Entry, exposed
from pybrpc.metrics.series import SERIES, SeriesOp
from pybrpc.metrics.text import text_of

Kind = Literal["counter", "gauge", "histogram"]


class MetricValue(NamedTuple):
    """A value of a variable for Prometheus.

    suffix   what the name of the metric has behind the name of the variable
    divisor  units of what is recorded in one unit of the metric
    """

    suffix: str
    kind: Kind
    value: float | Histogram
    divisor: int = 1


class Variable(NotCopied):
    """A value that has a name while it is exposed, and can be shown as text.

    name          if given, the variable is exposed at once: see `expose`
    prefix        goes before the name
    help          one line for people, shown by Prometheus; by default it names the type
    metric_name   the name in Prometheus, if that differs from `name`

    ValueError if the name is in use. The registry keeps exposed variables alive until `hide`.
    """

    __slots__ = ("__weakref__", "_help", "_metric_name", "_name")

    has_labels = False
    """Whether it has a value for each set of labels."""
    series_op: SeriesOp | None = None
    """How the values of some seconds become that of a minute; None: no series is kept."""

    def __init__(
        self, name: str | None, prefix: str = "", help: str = "", metric_name: str | None = None
    ) -> None:
        self._name = ""
        self._help = help
        self._metric_name = None if metric_name is None else checked_metric_name(metric_name)
        if name is not None:
            self.expose(name, prefix=prefix)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name or 'hidden'}>"

    @property
    def name(self) -> str:
        """The name under which it is exposed; "" if it is hidden."""
        return self._name

    @property
    def help(self) -> str:
        """The line for people."""
        return self._help or f"{type(self).__name__} {self._name}"

    @property
    def metric_name(self) -> str | None:
        """The name in Prometheus, if it is not that of the variable."""
        return self._metric_name

    @property
    def is_hidden(self) -> bool:
        """Whether it is not exposed."""
        return not self._name

    def expose(self, name: str, *, prefix: str = "", display: Display = Display.ALL) -> None:
        """Expose it as `prefix` and `name`, both converted by `to_underscored_name`, where
        `display` says: as text, in HTML, or both.

        An earlier name ends. ValueError if another variable has the name; then nothing changes.
        """
        new_name = exposed_name(name, prefix)
        exposed.expose({new_name: Entry(self, display)}, (self._name,) if self._name else ())
        self._name = new_name

    def hide(self) -> bool:
        """Remove it from the registry. False if it was not exposed."""
        if not self._name:
            return False
        exposed.hide((self._name,))
        self._name = ""
        return True

    def get_value(self) -> Any:
        """The value now."""
        raise NotImplementedError

    def describe(self, quote_strings: bool = False) -> str:
        """The value as text, as `/vars` shows it; see `text_of`."""
        return text_of(self.get_value(), quote_strings)

    def series_value(self) -> Any:
        """The value that is kept of each second, if series are kept."""
        return self.get_value()

    def series_labels(self) -> tuple[str, ...]:
        """The names of the series of a variable whose value is a list."""
        return ()

    def describe_series(self) -> str | None:
        """The series as JSON; None if none is kept."""
        series = SERIES.find(self._name)
        return None if series is None else series.describe(self.series_labels())

    def metric_values(self) -> Iterable[MetricValue]:
        """The values for Prometheus, the main one first; none if it is not a number."""
        return gauge_of(self.get_value())


def gauge_of(value: object) -> tuple[MetricValue, ...]:
    """`value` as a gauge; nothing if it is not a number."""
    if isinstance(value, int | float):
        return (MetricValue("", "gauge", value),)
    return ()
