"""The figures of a server and of its methods, as its variables have them.

They are found by name, as the pages of other processes find them: rpc_server_8000_error, and
rpc_server_8000_echo_service_echo_count for the methods.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybrpc.metrics.latency_recorder import LatencyPart
from pybrpc.metrics.names import calls_name
from pybrpc.metrics.registry import exposed

PERCENTILES = (("50", 0.5), ("90", 0.9), ("99", 0.99), ("999", 0.999), ("9999", 0.9999))
NAMES = (
    "count",
    "qps",
    "error",
    "eps",
    "latency",
    *(f"latency_{digits}" for digits, _ in PERCENTILES),
    "max_latency",
)
"""The figures of a method in the order of C++ bRPC. Latencies are in microseconds."""


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """Figures by name, as text: "0" for those of variables that there are not."""

    stem: str
    """Names of its variables begin with this and "_"."""
    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "0")


def figures_of(prefix: str, full_name: str) -> MethodFigures:
    """The figures of a method, or of a mounted application, of the server whose variables begin
    with `prefix`."""
    stem = f"{prefix}_{calls_name(full_name)}"
    values = {name: value_of(f"{stem}_{name}") for name in NAMES}
    part = exposed.find(f"{stem}_latency")
    if isinstance(part, LatencyPart):
        recorder = part.recorder
        for digits, ratio in PERCENTILES:
            values[f"latency_{digits}"] = str(recorder.latency_percentile(ratio))
        values["latency"] = str(recorder.latency())
    return MethodFigures(stem, values)


def value_of(name: str) -> str:
    """The value of a variable as text; "0" if there is none of that name."""
    return exposed.describe_exposed(name) or "0"
