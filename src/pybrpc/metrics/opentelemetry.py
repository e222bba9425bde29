"""The exposed variables as instruments of OpenTelemetry. Needs the extra `opentelemetry`.

    from pybrpc.metrics.opentelemetry import OpenTelemetryBridge

    bridge = OpenTelemetryBridge()  # of the global MeterProvider

Counters become observable counters, gauges observable gauges. A histogram becomes two observable
counters, its `_count` and its `_sum`: OpenTelemetry has no histogram that is observed.
"""

from __future__ import annotations

import importlib
import re
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pybrpc.metrics.histogram import Histogram
from pybrpc.metrics.registry import exposed
from pybrpc.metrics.sampler import default_sampler
from pybrpc.metrics.snapshot import Family, Snapshot, take_snapshot
from pybrpc.metrics.wildcards import Wildcards

__all__ = ["OpenTelemetryBridge"]


def __dir__() -> list[str]:
    return __all__


METER = "pybrpc"
SHOWN_BY_LABELS = "rpc_server_*;rpc_channel_*"
"""The default of `black_wildcards`. What these count is in brpc_server_call_duration_seconds and
brpc_client_call_duration_seconds too, with labels instead of ports and addresses in names."""
MAX_INSTRUMENTS = 2000
CACHED_S = 0.5
"""All instruments of one collection read the same snapshot."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}")


class OpenTelemetryBridge:
    """Makes an instrument for each metric, those too that are exposed later.

    meter             a Meter of OpenTelemetry; default: that of the global MeterProvider
    white_wildcards   metrics to export, "process_*;my_*"; default: all
    black_wildcards   metrics not to export

    Those that are exposed later are found within a second, by the sampler: OpenTelemetry can't make
    instruments while it collects. Functions of users run in the thread that collects. At most 2,000
    metrics are exported: OpenTelemetry can't remove instruments. ImportError without
    opentelemetry-api.
    """

    def __init__(
        self,
        meter: Any = None,
        *,
        white_wildcards: str = "",
        black_wildcards: str = SHOWN_BY_LABELS,
    ) -> None:
        self._api = _api()
        self._meter = self._api.get_meter(METER) if meter is None else meter
        self._white = Wildcards(white_wildcards)
        self._black = Wildcards(black_wildcards)
        self._lock = threading.RLock()
        self._known: set[str] = set()
        self._is_closed = False
        self._latest: tuple[float, Snapshot] | None = None
        self._seen: frozenset[str] = frozenset()
        self.refresh()
        default_sampler().add(self)

    def close(self) -> None:
        """Export nothing any more. The instruments remain, without values."""
        self._is_closed = True
        self._latest = None

    def refresh(self) -> None:
        """Look for metrics that are exposed and not exported yet. Not while a reader collects."""
        names = frozenset(exposed.list_exposed())
        if not names <= self._seen:
            self._make_instruments(take_snapshot())
        self._seen = names

    def take_sample(self, now_s: float) -> bool:
        """See `Sampled`."""
        if not self._is_closed:
            self.refresh()
        return not self._is_closed

    def _snapshot(self) -> Snapshot:
        latest, now = self._latest, time.monotonic()
        if latest is None or now - latest[0] > CACHED_S:
            self._latest = latest = now, take_snapshot()
        return latest[1]

    def _make_instruments(self, snapshot: Snapshot) -> None:
        with self._lock:
            for name, family in snapshot.families.items():
                if name in self._known or len(self._known) >= MAX_INSTRUMENTS:
                    continue
                if self._wants(name):
                    self._known.add(name)
                    self._make(family)

    def _wants(self, name: str) -> bool:
        if not _NAME.fullmatch(name) or (self._black and self._black.match(name)):
            return False
        return not self._white or self._white.match(name)

    def _make(self, family: Family) -> None:
        name, text, meter = family.name, family.help, self._meter
        if family.kind == "histogram":
            for end, value_of in (("_count", _count), ("_sum", _sum)):
                observe = partial(self._observe, name, value_of)
                meter.create_observable_counter(name + end, [observe], description=text)
        elif family.kind == "counter":
            observe = partial(self._observe, name, _itself)
            meter.create_observable_counter(name, [observe], description=text)
        else:
            observe = partial(self._observe, name, _itself)
            meter.create_observable_gauge(name, [observe], description=text)

    def _observe(
        self, name: str, value_of: Callable[[Family, Any], float], options: Any
    ) -> Iterable[Any]:
        """The values of a metric, by its labels; none while it is not exposed."""
        family = None if self._is_closed else self._snapshot().families.get(name)
        if family is None:
            return []
        make = self._api.Observation
        return [
            make(value_of(family, value), dict(zip(family.labels, labels, strict=True)))
            for labels, value in family.values.items()
        ]

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._known)} metrics"
        return f"<OpenTelemetryBridge, {state}>"


def _itself(family: Family, value: float | Histogram) -> float:
    return 0 if isinstance(value, Histogram) else value


def _count(family: Family, value: float | Histogram) -> float:
    return value.count if isinstance(value, Histogram) else 0


def _sum(family: Family, value: float | Histogram) -> float:
    return value.total / family.divisor if isinstance(value, Histogram) else 0


def _api() -> Any:
    try:
        return importlib.import_module("opentelemetry.metrics")
    except ImportError as error:
        raise ImportError(
            "OpenTelemetryBridge needs opentelemetry-api: pip install 'pybrpc[opentelemetry]'"
        ) from error
