"""The page /brpc_metrics as C++ has it (builtin/prometheus_metrics_service.cpp).

All numbers are gauges, with an empty HELP, and each latency recorder of a server is one summary.
Differences: the sum is the real one, where C++ multiplies the count of all times by the average of
the window; every TYPE comes once; counts that belong to no recorder, such as
rpc_server_8000_connection_count, are not lost; labels are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pybrpc.metrics.exposition.prometheus import escaped_label
from pybrpc.metrics.latency_recorder import RATIOS, LatencyPart, LatencyRecorder
from pybrpc.metrics.multi_dimension import MultiDimension
from pybrpc.metrics.registry import Display, Entry, Registry, exposed

SERVER_PREFIX = "rpc_server"
"""Recorders whose names begin so are folded (g_server_info_prefix)."""
BRPC_METRICS_TYPE = "text/plain"
_FOLDED = frozenset(
    {"_latency", "_count", "_max_latency", *(f"_latency_{each}" for each in RATIOS)}
)


def to_brpc_metrics(registry: Registry = exposed) -> str:
    """The page. Functions of users run in the calling thread."""
    entries = registry.entries()
    lines: list[str] = []
    seen: set[str] = set()
    for name, entry in entries:
        if entry.variable.has_labels or not entry.display & Display.PLAIN_TEXT:
            continue
        lines.extend(_lines_of(registry, name, entry, seen))
    for name, entry in entries:
        if isinstance(entry.variable, MultiDimension):
            lines.extend(_labelled(registry, name, entry.variable, seen))
    lines.append("")
    return "\n".join(lines)


def _lines_of(registry: Registry, name: str, entry: Entry, seen: set[str]) -> list[str]:
    variable = entry.variable
    if isinstance(variable, LatencyPart) and name.startswith(SERVER_PREFIX):
        if variable.suffix == "_max_latency":
            return _summary(variable.stem, variable.recorder, seen)
        if variable.suffix in _FOLDED:
            return []
    text = registry.describe_exposed(name, quote_strings=True)
    if text is None or not _is_number(text) or name in seen:
        return []
    seen.add(name)
    return [f"# HELP {name}", f"# TYPE {name} gauge", f"{name} {text}"]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _summary(stem: str, recorder: LatencyRecorder, seen: set[str]) -> list[str]:
    if stem in seen:
        return []
    seen.add(stem)
    state = recorder.get_value()
    quantiles = [
        f'{stem}{{quantile="{ratio}"}} {recorder.latency_percentile(ratio)}'
        for ratio in RATIOS.values()
    ]
    return [
        f"# HELP {stem}",
        f"# TYPE {stem} summary",
        *quantiles,
        f'{stem}{{quantile="1"}} {recorder.max_latency()}',
        f'{stem}{{quantile="avg"}} {recorder.latency()}',
        f"{stem}_sum {state.total}",
        f"{stem}_count {state.count}",
    ]


def _labelled(
    registry: Registry, name: str, variable: MultiDimension[Any], seen: set[str]
) -> Iterator[str]:
    items = [(_labels(variable.labels, values), each) for values, each in variable.items()]
    if not items:
        return
    recorders = [(labels, each) for labels, each in items if isinstance(each, LatencyRecorder)]
    if recorders:
        yield from _labelled_recorders(name, recorders, seen)
        return
    if name in seen:
        return
    seen.add(name)
    yield f"# HELP {name}"
    yield f"# TYPE {name} gauge"
    for labels, each in items:
        try:
            text = each.describe(True)
        except BaseException as error:
            registry.log_raised(name, error)
            continue
        if _is_number(text):
            yield f"{name}{{{labels}}} {text}"


def _labelled_recorders(
    name: str, recorders: list[tuple[str, LatencyRecorder]], seen: set[str]
) -> Iterator[str]:
    for suffix, kind in (
        ("_latency", "gauge"),
        ("_max_latency", "gauge"),
        ("_qps", "gauge"),
        ("_count", "counter"),
    ):
        family = name + suffix
        if family in seen:
            continue
        seen.add(family)
        yield f"# HELP {family}"
        yield f"# TYPE {family} {kind}"
        for labels, recorder in recorders:
            if suffix == "_latency":
                yield f"{family}{{{labels}}} {recorder.latency()}"
                for digits, ratio in RATIOS.items():
                    number = recorder.latency_percentile(ratio)
                    yield f'{family}{{{labels},quantile="{digits}"}} {number}'
            elif suffix == "_max_latency":
                yield f"{family}{{{labels}}} {recorder.max_latency()}"
            elif suffix == "_qps":
                yield f"{family}{{{labels}}} {recorder.qps()}"
            else:
                yield f"{family}{{{labels}}} {recorder.count()}"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{escaped_label(value)}"' for name, value in pairs)
