"""The text formats, judged by the parsers of prometheus_client and by promtool."""

from __future__ import annotations

import math
import subprocess
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pybrpc.metrics import (
    Adder,
    Counter,
    LatencyRecorder,
    MultiDimension,
    PassiveStatus,
    Percentile,
    Snapshot,
    Status,
    expose,
    expose_process_variables,
    take_snapshot,
    to_openmetrics,
    to_prometheus,
)
from pybrpc.metrics.exposition.prometheus import (
    BOUNDS,
    OPENMETRICS_TYPE,
    PROMETHEUS_TYPE,
    number_text,
    prefers_openmetrics,
)
from pybrpc.metrics.snapshot import Family
from tests.fakes.metrics import SteppedSampler

HOSTILE = 'a"b\\c\nd{},=#\ue000\U0001f600 '


def samples_of(families: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def both(snapshot: Snapshot) -> list[dict[Any, float]]:
    """The samples that each parser sees."""
    return [
        samples_of(parse_text(to_prometheus(snapshot))),
        samples_of(parse_openmetrics(to_openmetrics(snapshot))),
    ]


def expose_some() -> None:
    Adder("queue_length", help="Waiting jobs").add(3)
    Counter("jobs", help="Jobs").add(5)
    recorder = LatencyRecorder("search", help="Duration of a search")
    for latency_us in (10, 64, 65, 1000, 2**26, 2**30):
        recorder.record(latency_us)
    calls = MultiDimension(Counter, ("method", "code"), "calls", help="Calls")
    calls.get_stats("Echo", 0).add(7)
    calls.get_stats(HOSTILE, "").add(2)
    durations = MultiDimension(
        LatencyRecorder,
        ("service", "method", "code", "protocol"),
        "server_calls",
        help="Duration of calls",
        metric_name="brpc_server_call_duration_seconds",
    )
    durations.get_stats("Echo", "Echo", 0, "baidu_std").record(100)


def test_both_parsers_see_the_values(sampler: SteppedSampler) -> None:
    expose_some()
    sampler.pass_seconds()
    for samples in both(take_snapshot()):
        assert samples[("queue_length", ())] == 3
        assert samples[("jobs_total", ())] == 5
        assert samples[("calls_total", (("code", "0"), ("method", "Echo")))] == 7
        assert samples[("calls_total", (("code", ""), ("method", HOSTILE)))] == 2
        assert samples[("search_latency_seconds_count", ())] == 6
        total = 10 + 64 + 65 + 1000 + 2**26 + 2**30
        assert samples[("search_latency_seconds_sum", ())] == total / 1e6
        assert samples[("search_max_latency_seconds", ())] == 2**30 / 1e6
        buckets = {
            float(dict(labels)["le"]): value
            for (name, labels), value in samples.items()
            if name == "search_latency_seconds_bucket"
        }
        assert list(buckets) == [bound / 1e6 for bound in BOUNDS] + [math.inf]
        assert [buckets[us / 1e6] for us in (64, 128, 1024, 2**26)] == [2, 3, 4, 5]
        assert buckets[math.inf] == 6


def test_each_help_and_type_comes_once(sampler: SteppedSampler) -> None:
    expose_some()
    for text in (to_prometheus(take_snapshot()), to_openmetrics(take_snapshot())):
        heads = [line.split(" ", 3)[:3] for line in text.splitlines() if line.startswith("# ")]
        assert len(set(map(tuple, heads))) == len(heads)
        assert sum(head[1] == "TYPE" for head in heads) == sum(head[1] == "HELP" for head in heads)


@pytest.mark.program("promtool")
def test_promtool_has_no_objection(sampler: SteppedSampler) -> None:
    expose_some()
    expose_process_variables(with_rates=True)
    Percentile("request_bytes", help="Size of requests").record(17)
    sampler.pass_seconds(2)
    text = to_prometheus(take_snapshot())
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.program("promtool")
def test_promtool_reads_hostile_texts_and_special_numbers() -> None:
    calls = MultiDimension(Adder, ("a",), "calls", help=f"Help {HOSTILE}")
    calls.get_stats(HOSTILE).add(1)
    calls.get_stats("\ud800").add(1)
    for number, value in enumerate((math.nan, math.inf, -math.inf, 1e-300, 2**70)):
        Status(value, f"special_{number}", help="A number")
    result = subprocess.run(
        ["promtool", "check", "metrics"],
        input=to_prometheus(take_snapshot()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


@example("", " ", 0)
@given(st.text(), st.text(), st.integers(-(2**70), 2**70) | st.floats())
def test_any_text_and_number_survives(label: str, help_text: str, value: float) -> None:
    family = Family("metric", "gauge", help_text, ("label",), 1, {(label,): value})
    snapshot = Snapshot({"metric": family})
    expected = label.encode(errors="replace").decode()
    (found,) = parse_openmetrics(to_openmetrics(snapshot))
    assert found.documentation == help_text.strip(" ").encode(errors="replace").decode()
    assert found.samples[0].labels == {"label": expected}
    assert found.samples[0].value == value or math.isnan(value)
    text = to_prometheus(snapshot)
    assert len(text.split("\n")) == 4


def test_families_whose_samples_would_have_one_name_are_not_both_shown() -> None:
    Counter("jobs").add(1)
    Adder("jobs_total").add(2)
    Percentile("sizes").record(1)
    Adder("sizes_count").add(2)
    for samples in both(take_snapshot()):
        assert samples[("jobs_total", ())] == 1
        assert samples[("sizes_count", ())] == 1


def test_no_metrics_are_valid_too() -> None:
    assert to_prometheus(Snapshot()) == ""
    assert to_openmetrics(Snapshot()) == "# EOF\n"
    assert both(Snapshot()) == [{}, {}]


def test_function_that_raises_is_left_out() -> None:
    def fail() -> int:
        raise ValueError

    PassiveStatus(fail, "fails")
    Status(1, "works")
    assert both(take_snapshot()) == [{("works", ()): 1}] * 2


@pytest.mark.parametrize(
    ("accept", "wants_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", True),
        ("Application/OpenMetrics-Text; version=1.0.0;q=0.3, text/plain;q=0.7", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        (";;,,q=1;=", False),
        ("x," * 10_000 + "application/openmetrics-text", False),
    ],
)
def test_accept_header_chooses_the_format(accept: str, wants_openmetrics: bool) -> None:
    assert prefers_openmetrics(accept) == wants_openmetrics
    exposition = expose(Snapshot(), accept)
    if wants_openmetrics:
        assert exposition.content_type == OPENMETRICS_TYPE
        assert exposition.body == "# EOF\n"
    else:
        assert exposition.content_type == PROMETHEUS_TYPE


def test_numbers_are_written_as_go_reads_them() -> None:
    values = [3, True, 0.5, 1e100, math.inf, -math.inf, math.nan, 10**400, -(10**400)]
    texts = ["3", "1", "0.5", "1e+100", "+Inf", "-Inf", "NaN", "+Inf", "-Inf"]
    assert list(map(number_text, values)) == texts
