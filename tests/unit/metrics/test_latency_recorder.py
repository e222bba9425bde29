"""LatencyRecorder: beside bRPC's own tests."""

from __future__ import annotations

import json
import threading

import pytest

from pybrpc.metrics import (
    Adder,
    Display,
    LatencyRecorder,
    Window,
    describe_exposed,
    describe_series_exposed,
    dump_exposed,
    list_exposed,
    start_series,
)
from pybrpc.metrics.recorder import FOLD_AT
from tests.fakes.metrics import SteppedSampler


def test_all_is_of_the_window_but_the_count(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder("search", window_s=2)
    assert recorder.window_s == 2
    for latency_us in (100, 200, 1000):
        recorder.record(latency_us)
        sampler.pass_seconds()
    assert recorder.latency() == 600
    assert recorder.latency(1) == 1000
    assert recorder.max_latency() == 1000
    assert recorder.rate() == 1.0
    assert recorder.count() == 3
    assert recorder.latency_percentile(0.5) == pytest.approx(200, rel=1 / 32)
    assert recorder.latency_percentile(1) == 1000
    sampler.pass_seconds(2)
    assert recorder.latency() == recorder.max_latency() == recorder.latency_percentile(1) == 0
    assert recorder.qps() == 0
    assert recorder.count() == 3
    assert (recorder.get_value().total, recorder.get_value().count) == (1300, 3)


def test_nothing_is_in_the_window_before_the_first_second_is_over() -> None:
    recorder = LatencyRecorder()
    recorder.record(5)
    assert (recorder.latency(), recorder.qps(), recorder.max_latency()) == (0, 0, 0)
    assert recorder.count() == 1
    assert repr(recorder) == "<LatencyRecorder hidden>"


def test_parts_are_shown_as_in_cpp(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder("search")
    for latency_us in range(1, 11):
        recorder.record(latency_us)
    sampler.pass_seconds()
    assert dump_exposed() == [
        ("search_count", "10"),
        ("search_latency", "5"),
        ("search_latency_80", "8"),
        ("search_latency_90", "9"),
        ("search_latency_99", "10"),
        ("search_latency_999", "10"),
        ("search_latency_9999", "10"),
        ("search_max_latency", "10"),
        ("search_qps", "10"),
    ]
    assert recorder.describe() == "{latency=5 max10=10 qps=10 count=10}"
    assert describe_exposed("search_latency_percentiles") == "[8,9,10,10]"
    assert describe_exposed("search_latency_cdf") == '"click to view"'
    assert describe_exposed("search_latency_cdf", display=Display.PLAIN_TEXT) is None
    shown = [name for name, _ in dump_exposed(display=Display.HTML)]
    assert shown == [
        "search_count",
        "search_latency",
        "search_latency_9999",
        "search_latency_cdf",
        "search_latency_percentiles",
        "search_max_latency",
        "search_qps",
    ]


def test_small_average_is_shown_with_its_fraction(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder("search")
    recorder << 0 << 1
    sampler.pass_seconds()
    assert describe_exposed("search_latency") == "0.5"


def test_name_that_is_in_use_exposes_nothing() -> None:
    taken = Adder("search_qps")
    recorder = LatencyRecorder("first")
    names = list_exposed()
    with pytest.raises(ValueError, match="'search_qps'"):
        recorder.expose("search")
    assert list_exposed() == names
    assert recorder.name == "first"
    assert taken.hide()
    recorder.expose("search")
    assert "first_qps" not in list_exposed()
    recorder.expose("search")  # under its own name again
    assert len(list_exposed()) == 11
    assert recorder.hide()
    assert not recorder.hide()
    assert list_exposed() == []
    with pytest.raises(ValueError, match="no prefix"):
        recorder.expose("::")


def test_part_is_exposed_and_hidden_by_its_recorder_only() -> None:
    from pybrpc.metrics.registry import exposed

    recorder = LatencyRecorder("search", help="Searches")
    part = exposed.find("search_count")
    assert part is not None
    assert part.help == recorder.help == "Searches"
    for function in (part.hide, lambda: part.expose("x")):
        with pytest.raises(TypeError, match="by its LatencyRecorder"):
            function()


def test_negative_latency_counts_as_zero_and_others_are_rounded() -> None:
    recorder = LatencyRecorder()
    recorder << -5 << 1.6
    assert (recorder.get_value().total, recorder.get_value().count) == (2, 2)
    with pytest.raises(ValueError, match="finite"):
        recorder.record(float("inf"))


def test_threads_record_without_loss_while_the_window_moves(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder(window_s=3600)

    def record() -> None:
        for number in range(5 * FOLD_AT):
            recorder.record(number)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    sampler.pass_seconds(50)
    for thread in threads:
        thread.join()
    sampler.pass_seconds()
    assert recorder.count() == recorder.stat().count == 20 * FOLD_AT
    assert recorder.max_latency() == 5 * FOLD_AT - 1
    assert recorder.latency_percentile(0.5) == pytest.approx(2.5 * FOLD_AT, rel=1 / 32)


def test_window_of_percentiles_is_that_of_its_seconds(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder(window_s=3)
    for second in range(1, 30):
        recorder.record(second)
        sampler.pass_seconds()
        assert recorder.max_latency() == second
        assert recorder.latency_percentile(0.01) == max(second - 2, 1)
    assert len(recorder._window_buckets) == 3


def test_window_over_a_recorder_is_no_longer_than_its_own(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder(window_s=3)
    window = Window(recorder, 2)
    with pytest.raises(ValueError, match="3 seconds only"):
        Window(recorder, 4)
    recorder << 10 << 20
    sampler.pass_seconds(2)
    assert window.get_value().average_int() == 15


def test_series_of_parts(sampler: SteppedSampler) -> None:
    start_series()
    recorder = LatencyRecorder("search")
    for latency_us in (10, 20):
        recorder.record(latency_us)
        recorder.record(latency_us)
        sampler.pass_seconds()
    last = {}
    for suffix in ("latency", "max_latency", "count", "qps", "latency_80"):
        text = describe_series_exposed(f"search_{suffix}")
        assert text is not None
        last[suffix] = [value for _, value in json.loads(text)["data"][-2:]]
    assert last["count"][1] == 4
    assert last["max_latency"][1] in (10, 20)  # read before or after the recorder in this tick
    lists = json.loads(describe_series_exposed("search_latency_percentiles") or "")
    assert [each["label"] for each in lists] == ["80%", "90%", "99%", "99.9%"]
    cdf = json.loads(describe_series_exposed("search_latency_cdf") or "")
    assert cdf["label"] == "cdf"
    assert [place for place, _ in cdf["data"]] == [*range(10, 100, 10), *range(91, 102)]
    assert cdf["data"][-1] == [101, 20]
