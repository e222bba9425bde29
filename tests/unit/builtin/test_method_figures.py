"""method_figures: the variables of a method, found by their names."""

from __future__ import annotations

from pybrpc import metrics
from pybrpc.builtin.method_figures import NAMES, figures_of, value_of
from tests.fakes.metrics import SteppedSampler


def test_without_variables_all_is_zero() -> None:
    figures = figures_of("rpc_server_8000", "pkg.Search.Find")
    assert figures.stem == "rpc_server_8000_pkg_search_find"
    assert {figures[name] for name in NAMES} == {"0"}
    assert figures["unknown"] == "0"
    assert figures_of("rpc_server_8000", "*").stem == "rpc_server_8000_generic"


def test_percentiles_that_are_not_exposed_come_from_the_recorder(sampler: SteppedSampler) -> None:
    recorder = metrics.LatencyRecorder("rpc_server_8000_pkg_search_find")
    metrics.Status(7, "rpc_server_8000_pkg_search_find_eps")
    sampler.pass_seconds()
    for latency_us in range(1000):
        recorder.record(latency_us)
    sampler.pass_seconds()
    figures = figures_of("rpc_server_8000", "pkg.Search.Find")
    assert (figures["count"], figures["eps"]) == ("1000", "7")
    assert 480 <= int(figures["latency_50"]) <= 520
    assert int(figures["latency_50"]) < int(figures["latency_99"]) <= int(figures["max_latency"])


def test_a_value_by_its_name() -> None:
    metrics.Status("text", "some_text")
    assert (value_of("some_text"), value_of("nothing")) == ("text", "0")
