"""MultiDimension: a variable for each set of labels (bvar/multi_dimension.h)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from pybrpc.base.lazy_modules import json
from pybrpc.base.renewed import renew_in_child
from pybrpc.metrics.names import checked_label_names
from pybrpc.metrics.registry import Display
from pybrpc.metrics.variable import MetricValue, Variable

V = TypeVar("V", bound=Variable)

MAX_STATS = 20_000
"""Default limit of the sets of labels (max_multi_dimension_stats_count)."""
MAX_LABEL_CHARS = 1024
OVERFLOW = "_overflow"
"""The value of each label of the set that stands for all sets above the limit."""


class MultiDimension(Variable, Generic[V]):
    """One variable for each set of values of some labels.

        calls = MultiDimension(Adder, ("method", "status"), "calls")
        calls.get_stats("Echo", "ok").add()

    make        makes a hidden variable: a class such as Adder, or a function
    labels      the names of the labels
    max_stats   sets of labels that are kept. All further ones share one variable, whose labels are
                "_overflow"; `overflow_count` says how often that was used

    Prometheus shows it with labels, `/vars` only how many sets it has. See `Variable` for the other
    arguments. Keep the result of `get_stats` where it is used often: each look-up costs a lock-free
    access to a dict.
    """

    __slots__ = ("_labels", "_lock", "_make", "_max_stats", "_overflow", "_overflowed", "_stats")

    has_labels = True

    def __init__(
        self,
        make: Callable[[], V],
        labels: Sequence[str],
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
        max_stats: int = MAX_STATS,
    ) -> None:
        if isinstance(labels, str):
            raise TypeError("labels is a sequence of names, not one str")
        if max_stats < 1:
            raise ValueError("max_stats is at least 1")
        self._labels = checked_label_names(tuple(labels))
        self._make = make
        self._max_stats = max_stats
        self._stats: dict[tuple[str, ...], V] = {}
        self._overflow: V | None = None
        self._overflowed = 0
        self._lock = threading.RLock()
        renew_in_child(self)
        super().__init__(name, prefix, help, metric_name)

    def renew_locks(self) -> None:
        """In a forked child; the variables see to themselves."""
        self._lock = threading.RLock()
        self._overflowed = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels."""
        return self._labels

    @property
    def overflow_count(self) -> int:
        """How often `get_stats` has returned the variable for sets above the limit."""
        return self._overflowed

    def get_stats(self, *values: str | int) -> V:
        """The variable for these values of the labels, made if there is none.

        ValueError if their number is not that of the labels, TypeError if one is no str or int.
        Values are cut after 1,024 characters.
        """
        found = self._stats.get(values)  # type: ignore[arg-type]
        return self._made(self._key_of(values)) if found is None else found

    def has_stats(self, *values: str | int) -> bool:
        """Whether there is a variable for these values."""
        return self._key_of(values) in self._stats

    def count_stats(self) -> int:
        """The number of sets of labels; that of the overflow is not counted."""
        return len(self._stats)

    def list_stats(self) -> list[tuple[str, ...]]:
        """The sets of values that have a variable, sorted."""
        return sorted(self._stats.copy())

    def items(self) -> list[tuple[tuple[str, ...], V]]:
        """The sets of values and their variables, sorted; the overflow is last if it was used."""
        found = sorted(self._stats.copy().items(), key=lambda item: item[0])
        if self._overflow is not None:
            found.append(((OVERFLOW,) * len(self._labels), self._overflow))
        return found

    def delete_stats(self, *values: str | int) -> bool:
        """Remove the variable for these values. False if there was none. It can still be used."""
        with self._lock:
            return self._stats.pop(self._key_of(values), None) is not None

    def clear_stats(self) -> None:
        """Remove all variables."""
        with self._lock:
            self._stats.clear()
            self._overflow = None

    def get_value(self) -> dict[tuple[str, ...], object]:
        """The values of all sets."""
        return {values: variable.get_value() for values, variable in self.items()}

    def describe(self, quote_strings: bool = False) -> str:
        """Name, labels and number of sets as JSON, as C++ describes it."""
        labels = json.dumps(self._labels)
        return (
            f'{{"name" : {json.dumps(self._name)}, "labels" : {labels}, '
            f'"stats_count" : {self.count_stats()}}}'
        )

    def expose(self, name: str, *, prefix: str = "", display: Display = Display.ALL) -> None:
        """See `Variable`. ValueError also if 1,024 variables with labels are exposed."""
        super().expose(name, prefix=prefix, display=display)

    def metric_values(self) -> Iterable[MetricValue]:
        """None without labels; see `items`."""
        return ()

    def _key_of(self, values: tuple[str | int, ...]) -> tuple[str, ...]:
        if len(values) != len(self._labels):
            raise ValueError(
                f"{len(self._labels)} labels ({', '.join(self._labels)}) need as many values, "
                f"not {len(values)}"
            )
        return tuple(map(_label_value, values))

    def _made(self, key: tuple[str, ...]) -> V:
        with self._lock:
            found = self._stats.get(key)
            if found is not None:
                return found
            if len(self._stats) < self._max_stats:
                self._stats[key] = made = self._new()
                return made
            self._overflowed += 1
            if self._overflow is None:
                self._overflow = self._new()
            return self._overflow

    def _new(self) -> V:
        made = self._make()
        if not isinstance(made, Variable) or made.has_labels:
            raise TypeError("make returns a variable without labels")
        return made


def _label_value(value: str | int) -> str:
    if isinstance(value, str):
        return value[:MAX_LABEL_CHARS]
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"the value of a label is a str or an int, not {type(value).__name__}")
