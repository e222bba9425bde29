"""CallVariables: what bRPC exposes of the calls of one method, or to one address."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pybrpc.base.guard import LIBRARY
from pybrpc.metrics.latency_recorder import LatencyRecorder
from pybrpc.metrics.reducers import Counter
from pybrpc.metrics.variable import MetricValue, Variable
from pybrpc.metrics.window import PerSecond

MAX_NUMBER = 100
"""Names that are tried for one more object with the same name."""


class CallLatency(LatencyRecorder):
    """A LatencyRecorder that Prometheus does not see: it sees CallDurations, with labels."""

    __slots__ = ()

    def metric_values(self) -> Iterable[MetricValue]:
        """None."""
        return ()


class CallVariables:
    """The latency of calls that have succeeded, and the number of those that have failed.

    Below a name they are exposed as those of a LatencyRecorder, and as _error, _eps.
    """

    __slots__ = ("_more", "_rate", "errors", "latency")

    def __init__(self, what: str, more: dict[str, Variable] | None = None) -> None:
        """`what` is for the help texts: "calls of a.b.C". `more`: variables by the ends of their
        names."""
        self.latency = CallLatency(help=f"Latency of {what} in microseconds")
        self.errors = Counter(help=f"Errors of {what}")
        self._rate = PerSecond(self.errors, help=f"Errors of {what} per second")
        self._more = more or {}

    def expose(self, stem: str) -> None:
        """Expose all below `stem`. ValueError if a name is in use; then none is exposed."""
        variables = {"_error": self.errors, "_eps": self._rate, **self._more}
        try:
            self.latency.expose(stem)
            for end, variable in variables.items():
                variable.expose(stem + end)
        except BaseException:
            self.hide()
            raise

    def hide(self) -> None:
        """Remove all from the registry."""
        for variable in (self.latency, self.errors, self._rate, *self._more.values()):
            variable.hide()


def expose_below_free_name(stem: str, expose: Callable[[str], None]) -> str:
    """`expose(stem)`, or with the first of `stem`_2, _3, ... whose names are free; return that one.

    "" if there is none, which is logged: the variables remain hidden.
    """
    reason: ValueError | None = None
    for number in range(1, MAX_NUMBER):
        name = stem if number == 1 else f"{stem}_{number}"
        try:
            expose(name)
        except ValueError as error:
            reason = reason or error
        else:
            return name
    LIBRARY.warning("Variables of %s stay hidden: %s", stem, reason)
    return ""
