"""The variables of several worker processes as one registry, for `/vars` and `/brpc_metrics`.

Sums are added up, so are counts and rates; maxima are the largest; averages and percentiles are
those of all values that the workers have recorded. Of what can't be added, such as process ids and
texts, each worker's is shown. Numbers of workers that have ended are not in it: see
`SnapshotMerger` for sums that never fall.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from pybrpc.metrics.histogram import MAX_BUCKETS, Histogram, Ranking, added
from pybrpc.metrics.int_recorder import Stat
from pybrpc.metrics.latency_recorder import PARTS, LatencyPart, LatencyRecorder, _State
from pybrpc.metrics.multi_dimension import MultiDimension
from pybrpc.metrics.names import is_exposed_name
from pybrpc.metrics.registry import Display, Entry, Registry, exposed
from pybrpc.metrics.series import SeriesOp
from pybrpc.metrics.snapshot import MAX_NUMBER
from pybrpc.metrics.text import text_of
from pybrpc.metrics.variable import Variable

MAX_TEXT_CHARS = 1024
"""Longest text of one variable."""

_LARGEST_ENDS = ("_uptime", "_loadavg_1m", "_loadavg_5m", "_loadavg_15m", "_core_count")
_OF_EACH = frozenset(("pid", "ppid", "pgrp", "process_priority", "process_nice"))

Plain = dict[str, Any]
"""The state of a variable, as JSON has it."""


# --- in a worker ---


def variables_to_bytes(registry: Registry = exposed) -> bytes:
    """All variables, for `merged_registry` in another process. Functions of users run in the
    calling thread; a variable whose function raises is shown as its page would show it."""
    recorders: dict[str, Plain] = {}
    found: list[Plain] = []
    for name, entry in registry.entries():
        variable = entry.variable
        plain: Plain = {"name": name, "display": entry.display.value}
        if isinstance(variable, LatencyPart):
            plain |= {"kind": "part", "stem": variable.stem, "suffix": variable.suffix}
            if variable.stem not in recorders:
                recorders[variable.stem] = _plain_of_recorder(variable.recorder)
        else:
            try:
                plain |= _plain_of(name, variable)
            except BaseException as error:
                registry.log_raised(name, error)
                plain |= {"kind": "text", "text": f'"raised {type(error).__name__}"'}
        found.append(plain)
    return json.dumps({"recorders": recorders, "variables": found}).encode()


def _plain_of(name: str, variable: Any) -> Plain:
    if isinstance(variable, MultiDimension):
        items = [[list(key), _plain_of(name, each)] for key, each in variable.items()]
        return {"kind": "labels", "labels": list(variable.labels), "items": items}
    if isinstance(variable, LatencyRecorder):
        return _plain_of_recorder(variable)
    value = variable.get_value()
    if isinstance(value, Stat):
        return {"kind": "stat", "total": value.total, "count": value.count}
    if isinstance(value, Histogram):
        return {"kind": "histogram", "buckets": list(value.buckets.items()), "total": value.total}
    is_number = type(value) in (int, float)
    if is_number and name not in _OF_EACH:
        return {"kind": "number", "op": _op_of(name, variable), "value": _bounded(value)}
    return {"kind": "text", "text": variable.describe(True)[:MAX_TEXT_CHARS]}


def _bounded(value: float) -> float:
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        return float("inf") if value > 0 else float("-inf")
    return value


def _op_of(name: str, variable: Variable) -> str:
    if variable.series_op is SeriesOp.MAX or name.endswith(_LARGEST_ENDS):
        return "max"
    return "min" if variable.series_op is SeriesOp.MIN else "sum"


def _plain_of_recorder(recorder: LatencyRecorder) -> Plain:
    value, stat = recorder.get_value(), recorder.stat()
    return {
        "kind": "latency",
        "help": recorder.help,
        "buckets": list(value.buckets.items()),
        "total": value.total,
        "window": list(recorder.window_buckets().items()),
        "window_total": stat.total,
        "window_count": stat.count,
        "max": recorder.max_latency(),
        "rate": recorder.rate(),
        "window_s": recorder.window_s,
    }


# --- in the supervisor ---


def merged_registry(workers: Iterable[bytes]) -> Registry:
    """The registry of all variables that `variables_to_bytes` of some workers has had. ValueError
    for other bytes."""
    try:
        return _merged_registry([json.loads(data) for data in workers])
    except (
        TypeError,
        KeyError,
        ValueError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise ValueError("these bytes are no variables") from error


def _merged_registry(workers: Sequence[Plain]) -> Registry:
    recorders = {
        stem: MergedLatency(stem, plains)
        for stem, plains in _by_key(worker["recorders"].items() for worker in workers).items()
    }
    named = _by_key(((each["name"], each) for each in worker["variables"]) for worker in workers)
    registry = Registry()
    for name, plains in sorted(named.items()):
        variable = _merged(name, plains, recorders)
        entry = Entry(variable, Display(plains[0]["display"] & Display.ALL.value))
        try:
            registry.expose({name: entry})
        except ValueError:
            continue  # more variables with labels than one process may have
    return registry


def _by_key(pairs_of_workers: Iterable[Iterable[tuple[str, Plain]]]) -> dict[str, list[Plain]]:
    found: dict[str, list[Plain]] = {}
    for pairs in pairs_of_workers:
        for key, plain in pairs:
            if not is_exposed_name(key):
                raise ValueError("no name of a variable")
            found.setdefault(key, []).append(plain)
    return found


def _merged(name: str, plains: list[Plain], recorders: dict[str, MergedLatency]) -> Variable:
    kind = plains[0]["kind"]
    # Workers of different releases: the first one says what it is.
    plains = [plain for plain in plains if plain["kind"] == kind]
    if kind == "part":
        stem, suffix = plains[0]["stem"], plains[0]["suffix"]
        if suffix in PARTS and stem in recorders:
            return LatencyPart(recorders[stem], stem, suffix)
        return MergedValue(name, "")
    if kind == "labels":
        return MergedDimension(name, plains)
    if kind == "latency":
        return MergedLatency(name, plains)
    return MergedValue(name, *_value_and_text(kind, plains))


def _value_and_text(kind: str, plains: list[Plain]) -> tuple[Any, str]:
    if kind == "number":
        join = _JOINS[plains[0]["op"]]
        value = join([_number(plain["value"]) for plain in plains])
        return value, text_of(value)
    if kind == "stat":
        stat = sum((_stat(plain["total"], plain["count"]) for plain in plains), Stat())
        return stat.shown(), text_of(stat.shown())
    if kind == "histogram":
        total = Histogram(_buckets(plain["buckets"] for plain in plains), 0)
        middle, last = total.get_number(0.5), total.get_number(0.99)
        return [middle, last], f"[{middle},{last}]"
    texts = list(dict.fromkeys(str(plain["text"]) for plain in plains))
    text = texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"[:MAX_TEXT_CHARS]
    return text, text


_JOINS: dict[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min}


def _number(plain: Any) -> float:
    if type(plain) not in (int, float):
        raise ValueError("no number")
    return cast("float", plain)


def _integer(plain: Any) -> int:
    if type(plain) is not int:
        raise ValueError("no integer")
    return plain


def _stat(total: Any, count: Any) -> Stat:
    return Stat(_integer(total), _integer(count))


def _buckets(of_workers: Iterable[Any]) -> dict[int, int]:
    found: dict[int, int] = {}
    for plain in of_workers:
        buckets = {_integer(bucket): _integer(count) for bucket, count in plain}
        if not all(0 <= bucket < MAX_BUCKETS for bucket in buckets):
            raise ValueError("no such bucket")
        found = added(found, buckets)
    return found


class MergedValue(Variable):
    """A value that is merged already."""

    __slots__ = ("_text", "_value")

    def __init__(self, name: str, value: Any, text: str = "") -> None:
        super().__init__(None)
        self._name = name
        self._value = value
        self._text = text

    def get_value(self) -> Any:
        """The value; of texts, the text."""
        return self._value

    def describe(self, quote_strings: bool = False) -> str:
        """The text: strings in it are quoted."""
        return self._text


class MergedLatency(LatencyRecorder):
    """The latencies that several processes have recorded. Nothing is recorded in it."""

    __slots__ = ("_all", "_rate", "_window_stat")

    def __init__(self, name: str, plains: list[Plain]) -> None:
        Variable.__init__(self, None, help=str(plains[0]["help"]))
        self._name = name
        self._parts = ()
        self._window_s = _integer(plains[0]["window_s"])
        buckets = _buckets(plain["buckets"] for plain in plains)
        total = sum(_integer(plain["total"]) for plain in plains)
        self._all = _State(Stat(total, sum(buckets.values())), buckets)
        self._rate = float(sum(_number(plain["rate"]) for plain in plains))
        stats = (_stat(plain["window_total"], plain["window_count"]) for plain in plains)
        self._window_stat = sum(stats, Stat())
        self._window_buckets = _buckets(plain["window"] for plain in plains)
        maximum = max(_integer(plain["max"]) for plain in plains)
        self._ranking = Ranking(self._window_buckets, maximum)

    def _folded(self) -> _State:
        return self._all

    def stat(self, window_s: int | None = None) -> Stat:
        """Sum and number of the latencies in the windows of all."""
        return self._window_stat

    def rate(self, window_s: int | None = None) -> float:
        """The sum of the rates."""
        return self._rate


class MergedDimension(MultiDimension[Any]):
    """A variable with labels of several processes."""

    __slots__ = ()

    def __init__(self, name: str, plains: list[Plain]) -> None:
        labels = [str(label) for label in plains[0]["labels"]]
        super().__init__(lambda: MergedValue("", 0, "0"), labels)
        self._name = name
        found: dict[tuple[str, ...], list[Plain]] = {}
        for plain in plains:
            for key, each in plain["items"]:
                if len(key) == len(labels):
                    found.setdefault(tuple(map(str, key)), []).append(each)
        for values, items in found.items():
            self._stats[values] = _merged(name, items, {})
