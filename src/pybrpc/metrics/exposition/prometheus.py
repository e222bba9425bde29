"""Snapshots in the text format 0.0.4 of Prometheus and in OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pybrpc.metrics.histogram import Histogram
from pybrpc.metrics.snapshot import MAX_NUMBER, Family, Snapshot

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of `to_prometheus`."""
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Content type of `to_openmetrics`."""
MAX_ACCEPT_CHARS = 4096
"""The part of an Accept header that is read."""

BOUNDS = [2**power for power in range(6, 27)]
"""Upper bounds of the buckets that are shown, in recorded units; of latencies 64 us to 67 s. All
are bounds of `Histogram`, so counts are exact."""

_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
}


@dataclass(frozen=True, slots=True)
class Exposition:
    """A body and its content type."""

    content_type: str
    body: str


def expose(snapshot: Snapshot, accept: str = "") -> Exposition:
    """`snapshot` in the format that an Accept header, `accept`, asks for: OpenMetrics only if it is
    named, and no other type is preferred."""
    if prefers_openmetrics(accept):
        return Exposition(OPENMETRICS_TYPE, to_openmetrics(snapshot))
    return Exposition(PROMETHEUS_TYPE, to_prometheus(snapshot))


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, section 12.5.1) prefers OpenMetrics to plain text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept[:MAX_ACCEPT_CHARS].split(","):
        media_type, *parameters = part.lower().split(";")
        if media_type.strip() in weights:
            weight = _weight(parameters)
            weights[media_type.strip()] = max(weights[media_type.strip()], weight)
    openmetrics, plain = weights.values()
    return openmetrics > 0 and openmetrics >= plain


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def to_prometheus(snapshot: Snapshot) -> str:
    """The text format 0.0.4."""
    lines: list[str] = []
    for family in _distinct(snapshot):
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        lines.append(f"# HELP {name} {_escaped_help(family.help)}")
        lines.append(f"# TYPE {name} {family.kind}")
        lines.extend(_samples(family))
    lines.append("")
    return "\n".join(lines)


def to_openmetrics(snapshot: Snapshot) -> str:
    """OpenMetrics 1.0."""
    lines: list[str] = []
    for family in _distinct(snapshot):
        lines.append(f"# TYPE {family.name} {family.kind}")
        help_text = _escaped_help(family.help).replace('"', '\\"')
        lines.append(f"# HELP {family.name} {help_text}")
        lines.extend(_samples(family))
    lines.append("# EOF\n")
    return "\n".join(lines)


def _distinct(snapshot: Snapshot) -> Iterator[Family]:
    """The families, sorted; without those of which a sample would have the name of an earlier one:
    the formats forbid that."""
    seen: set[str] = set()
    for name in sorted(snapshot.families):
        family = snapshot.families[name]
        names = {name + suffix for suffix in _SUFFIXES[family.kind]}
        if family.values and seen.isdisjoint(names):
            seen |= names
            yield family


def _samples(family: Family) -> Iterator[str]:
    name = f"{family.name}_total" if family.kind == "counter" else family.name
    for values, value in family.values.items():
        labels = ",".join(
            f'{label}="{escaped_label(text)}"'
            for label, text in zip(family.labels, values, strict=True)
        )
        if isinstance(value, Histogram):
            yield from _histogram(family, value, labels)
        elif labels:
            yield f"{name}{{{labels}}} {number_text(value)}"
        else:
            yield f"{name} {number_text(value)}"


def _histogram(family: Family, value: Histogram, labels: str) -> Iterator[str]:
    name, divisor = family.name, family.divisor
    before = f"{labels}," if labels else ""
    for bound, count in zip(BOUNDS, value.count_up_to(BOUNDS), strict=True):
        yield f'{name}_bucket{{{before}le="{float(bound / divisor)}"}} {count}'
    braces = f"{{{labels}}}" if labels else ""
    count = value.count
    yield f'{name}_bucket{{{before}le="+Inf"}} {count}'
    yield f"{name}_sum{braces} {number_text(value.total / divisor)}"
    yield f"{name}_count{braces} {count}"


def number_text(value: float) -> str:
    """A number as Go reads it."""
    if isinstance(value, int):
        if abs(value) <= MAX_NUMBER:
            return str(int(value))
        return "+Inf" if value > 0 else "-Inf"
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")


def escaped_label(text: str) -> str:
    """The value of a label: backslashes, quotes and line ends escaped, lone surrogates replaced."""
    if text.isalnum():
        return text
    text = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text.encode(errors="replace").decode()


def _escaped_help(text: str) -> str:
    """Without blanks at its ends, which readers take for separators."""
    text = text.strip(" ").replace("\\", r"\\").replace("\n", r"\n")
    return text.encode(errors="replace").decode()
