"""The bridge to OpenTelemetry, judged by its SDK: what a reader collects."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import pybrpc.metrics.opentelemetry as module
from pybrpc.metrics import (
    Adder,
    Counter,
    LatencyRecorder,
    MultiDimension,
    PassiveStatus,
    Status,
    take_snapshot,
)
from pybrpc.metrics.opentelemetry import OpenTelemetryBridge
from tests.fakes.metrics import SteppedSampler


class Collected:
    """A bridge to an SDK whose reader collects when it is asked."""

    def __init__(self, **options: Any) -> None:
        sdk = pytest.importorskip("opentelemetry.sdk.metrics")
        export = importlib.import_module("opentelemetry.sdk.metrics.export")
        self._reader = export.InMemoryMetricReader()
        self._provider = sdk.MeterProvider([self._reader])
        self.bridge = OpenTelemetryBridge(self._provider.get_meter("test"), **options)

    def __enter__(self) -> Collected:
        return self

    def __exit__(self, *exception: object) -> None:
        self._provider.shutdown()

    def collect(self) -> dict[str, dict[tuple[str, ...], Any]]:
        """Values by name and labels, read anew."""
        self.bridge._latest = None
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        found: dict[str, dict[tuple[str, ...], Any]] = {}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            found[metric.name] = {
                tuple(point.attributes.values()): point.value for point in metric.data.data_points
            }
        return found


def test_each_kind_of_variable_is_an_instrument() -> None:
    Counter("sold").add(3)
    Adder("stock").add(-2)
    Status("text", "state")
    PassiveStatus(lambda: 1 / 0, "broken")
    LatencyRecorder("search").record(1_500_000)
    labelled = MultiDimension(Counter, ("method", "code"), "calls")
    labelled.get_stats("Echo", "OK").add(4)
    labelled.get_stats("Echo", "ELIMIT").add()
    with Collected() as collected:
        assert collected.collect() == {
            "sold": {(): 3},
            "stock": {(): -2},
            "search_latency_seconds_count": {(): 1},
            "search_latency_seconds_sum": {(): 1.5},
            "search_max_latency_seconds": {(): 0.0},
            "calls": {("Echo", "OK"): 4, ("Echo", "ELIMIT"): 1},
        }
        labelled.get_stats("Echo", "OK").add()
        assert collected.collect()["calls"]["Echo", "OK"] == 5


def test_metric_that_is_exposed_later_is_exported_too_and_a_hidden_one_is_not(
    sampler: SteppedSampler,
) -> None:
    with Collected() as collected:
        assert collected.collect() == {}
        later = Counter("later")
        later.add(2)
        sampler.pass_seconds()
        assert collected.collect() == {"later": {(): 2}}
        later.hide()
        assert collected.collect() == {}


def test_wildcards_choose() -> None:
    for name in ("rpc_server_80_error", "one_kept", "one_left", "other"):
        Counter(name).add()
    with Collected() as collected:
        assert collected.collect().keys() == {"one_kept", "one_left", "other"}
    with Collected(white_wildcards="one_*;rpc_*", black_wildcards="*left") as collected:
        assert collected.collect().keys() == {"one_kept", "rpc_server_80_error"}


def test_number_of_instruments_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INSTRUMENTS", 3)
    for place in range(5):
        Counter(f"c{place}").add()
    with Collected() as collected:
        assert len(collected.collect()) == 3


def test_instruments_of_one_collection_read_one_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def take() -> Any:
        taken.append(1)
        return take_snapshot()

    monkeypatch.setattr(module, "take_snapshot", take)
    monkeypatch.setattr(module, "CACHED_S", float("inf"))
    for place in range(5):
        Counter(f"c{place}").add()
    with Collected() as collected:
        before = len(taken)
        collected.collect()
    assert len(taken) == before + 1


def test_closed_bridge_exports_nothing(sampler: SteppedSampler) -> None:
    Counter("sold").add()
    with Collected() as collected:
        assert repr(collected.bridge) == "<OpenTelemetryBridge, 1 metrics>"
        collected.bridge.close()
        assert repr(collected.bridge) == "<OpenTelemetryBridge, closed>"
        assert collected.collect() == {}
        sampler.pass_seconds()
        assert collected.bridge not in [each() for each in sampler._sampled]


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'pybrpc\[opentelemetry\]'"):
        OpenTelemetryBridge()
