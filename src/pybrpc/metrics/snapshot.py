"""Snapshot: all numbers of a process at one time, by metric.

What Prometheus is shown is made of it. A worker process sends it to its supervisor as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pybrpc.metrics.histogram import MAX_BUCKETS, Histogram
from pybrpc.metrics.multi_dimension import MultiDimension
from pybrpc.metrics.names import checked_metric_name, checked_sent_labels
from pybrpc.metrics.registry import Registry, exposed
from pybrpc.metrics.variable import Kind, MetricValue, Variable

OVERFLOWS = "pybrpc_metrics_overflows"
MAX_NUMBER = 2**1000
"""Largest integer in the bytes of a snapshot."""
_KINDS = ("counter", "gauge", "histogram")


@dataclass(slots=True)
class Family:
    """One metric: its value for each set of values of its labels.

    name     without the `_total` of a counter
    divisor  units of what is recorded in one unit of the metric, for histograms
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    divisor: int = 1
    values: dict[tuple[str, ...], float | Histogram] = field(default_factory=dict)

    def add(self, values: tuple[str, ...], value: float | Histogram) -> None:
        """Add `value`, of the kind of this metric, to that of the same values of labels."""
        old: Any = self.values.get(values)
        self.values[values] = value if old is None else old + value

    def is_like(self, other: Family) -> bool:
        """Whether values of both may be added."""
        mine = (self.kind, self.labels, self.divisor)
        return mine == (other.kind, other.labels, other.divisor)

    def without_values(self) -> Family:
        """An empty one of the same form."""
        return Family(self.name, self.kind, self.help, self.labels, self.divisor)


@dataclass(slots=True)
class Snapshot:
    """The families of metrics at one moment; `families` has them by their names."""

    families: dict[str, Family] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """JSON, for another process."""
        return json.dumps([_plain(family) for family in self.families.values()]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """The snapshot of which `to_bytes` made `data`. ValueError for other bytes."""
        try:
            families = [_family(each) for each in json.loads(data)]
        except (
            TypeError,
            KeyError,
            ValueError,
            AttributeError,
            RecursionError,
            OverflowError,
        ) as error:
            raise ValueError("these bytes are no snapshot of metrics") from error
        return cls({family.name: family for family in families})


def take_snapshot(registry: Registry = exposed) -> Snapshot:
    """The numbers of all exposed variables. Functions of users run in the calling thread; a
    variable whose function raises is left out."""
    snapshot = Snapshot()
    overflows = Family(OVERFLOWS, "counter", "Uses of sets of labels above the limit", ("metric",))
    for name, entry in registry.entries():
        variable = entry.variable
        labels, items = _items_of(variable)
        for values, each in items:
            try:
                found = each.metric_values()
                _add(snapshot, variable, getattr(variable, "stem", name), labels, values, found)
            except BaseException as error:
                registry.log_raised(name, error)
        if isinstance(variable, MultiDimension) and variable.overflow_count:
            overflows.add((name,), variable.overflow_count)
    if overflows.values:
        snapshot.families.setdefault(OVERFLOWS, overflows)
    return snapshot


def _items_of(
    variable: Variable,
) -> tuple[tuple[str, ...], list[tuple[tuple[str, ...], Variable]]]:
    """The names of its labels, and its variables by the values of these."""
    if isinstance(variable, MultiDimension):
        return variable.labels, variable.items()
    return (), [((), variable)]


def _add(
    snapshot: Snapshot,
    variable: Variable,
    stem: str,
    labels: tuple[str, ...],
    values: tuple[str, ...],
    found: Iterable[MetricValue],
) -> None:
    families = snapshot.families
    metric_name = variable.metric_name
    for suffix, kind, value, divisor in found:
        name = metric_name or stem + suffix
        metric_name = None  # only for the first
        if kind == "counter":
            name = name.removesuffix("_total")
        if not name or name[0].isdigit():
            name = f"_{name}"
        family = families.get(name)
        if family is None:
            family = families[name] = Family(name, kind, variable.help, labels, divisor)
        elif not (family.kind == kind and family.labels == labels and values):
            continue  # another variable has this name already
        family.values.setdefault(values, value)


def _plain(family: Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "kind": family.kind,
        "help": family.help,
        "labels": family.labels,
        "divisor": family.divisor,
        "values": [[list(key), _plain_value(value)] for key, value in family.values.items()],
    }


def _plain_value(value: float | Histogram) -> Any:
    if isinstance(value, Histogram):
        return {"total": value.total, "buckets": list(value.buckets.items())}
    return value


def _family(plain: Any) -> Family:
    labels = checked_sent_labels(tuple(map(_str, plain["labels"])))
    kind, divisor = plain["kind"], _int(plain["divisor"])
    if kind not in _KINDS or divisor < 1:
        raise ValueError(f"no kind of a metric: {kind!r}")
    family = Family(
        checked_metric_name(_str(plain["name"])), kind, _str(plain["help"]), labels, divisor
    )
    for key, value in plain["values"]:
        values = tuple(map(_str, key))
        if len(values) != len(labels):
            raise ValueError("values of labels are missing")
        family.values[values] = _value(kind, value)
    return family


def _value(kind: str, plain: Any) -> float | Histogram:
    if kind == "histogram":
        buckets = {_int(bucket): _int(count) for bucket, count in plain["buckets"]}
        if not all(0 <= bucket < MAX_BUCKETS and buckets[bucket] >= 0 for bucket in buckets):
            raise ValueError("no such bucket, or a negative count")
        return Histogram(buckets, _int(plain["total"]))
    return plain if isinstance(plain, float) else _int(plain)


def _str(plain: Any) -> str:
    if not isinstance(plain, str):
        raise ValueError(f"no text: {plain!r}")
    return plain


def _int(plain: Any) -> int:
    if not isinstance(plain, int) or abs(plain) > MAX_NUMBER:
        raise ValueError("no integer, or one that no float holds")
    return plain
