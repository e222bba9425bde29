"""/brpc_metrics in the form of C++. bRPC's own test of it (prometheus: sanity) is
test_each_type_comes_once_and_values_parse."""

from __future__ import annotations

import math
import re

import pytest

from pybrpc.metrics import (
    Adder,
    IntRecorder,
    LatencyRecorder,
    MultiDimension,
    PassiveStatus,
    Percentile,
    Reducer,
    Status,
    to_brpc_metrics,
)
from tests.fakes.metrics import SteppedSampler


def test_numbers_are_gauges_and_recorders_of_servers_summaries(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder("rpc_server_8000_echo")
    for latency_us in range(1, 11):
        recorder.record(latency_us)
    Adder("rpc_server_8000_echo_error").add(2)
    Adder("rpc_server_8000_connection_count").add(3)
    Status("text", "version")
    Status(0.000124965, "usage")
    sampler.pass_seconds()
    assert to_brpc_metrics() == EXPECTED


EXPECTED = """\
# HELP rpc_server_8000_connection_count
# TYPE rpc_server_8000_connection_count gauge
rpc_server_8000_connection_count 3
# HELP rpc_server_8000_echo_error
# TYPE rpc_server_8000_echo_error gauge
rpc_server_8000_echo_error 2
# HELP rpc_server_8000_echo
# TYPE rpc_server_8000_echo summary
rpc_server_8000_echo{quantile="0.8"} 8
rpc_server_8000_echo{quantile="0.9"} 9
rpc_server_8000_echo{quantile="0.99"} 10
rpc_server_8000_echo{quantile="0.999"} 10
rpc_server_8000_echo{quantile="0.9999"} 10
rpc_server_8000_echo{quantile="1"} 10
rpc_server_8000_echo{quantile="avg"} 5
rpc_server_8000_echo_sum 55
rpc_server_8000_echo_count 10
# HELP rpc_server_8000_echo_qps
# TYPE rpc_server_8000_echo_qps gauge
rpc_server_8000_echo_qps 10
# HELP usage
# TYPE usage gauge
usage 0.000124965
"""


def test_recorder_of_a_user_is_gauges() -> None:
    LatencyRecorder("search")
    lines = to_brpc_metrics().splitlines()
    assert "search_latency_99 0" in lines
    assert "search_count 0" in lines
    assert not any("summary" in line or "cdf" in line for line in lines)


def test_each_type_comes_once_and_values_parse(sampler: SteppedSampler) -> None:
    for name in ("rpc_server_1_a", "rpc_server_1_b", "search"):
        LatencyRecorder(name).record(5)
    IntRecorder("average").record(3)
    Percentile("list")
    labelled = MultiDimension(Adder, ("a", "b"), "labelled")
    labelled.get_stats('x"\\\n', "y").add(1)
    for name in ("search", "rpc_server_1_a"):
        MultiDimension(LatencyRecorder, ("a",), f"{name}_more").get_stats("x").record(1)
    MultiDimension(LatencyRecorder, ("a",), "empty")
    sampler.pass_seconds()
    types = []
    for line in to_brpc_metrics().splitlines():
        if line.startswith("# TYPE "):
            types.append(line.split()[2])
        elif not line.startswith("# HELP "):
            head, _, value = line.rpartition(" ")
            assert math.isfinite(float(value))
            assert re.fullmatch(r"[a-z_0-9]+(\{.*\})?", head), line
    assert len(set(types)) == len(types)
    assert 'labelled{a="x\\"\\\\\\n",b="y"} 1' in to_brpc_metrics()


def test_second_family_of_one_name_is_left_out() -> None:
    Adder("same_count").add(1)
    Adder("rpc_server_1_a").add(1)
    LatencyRecorder("rpc_server_1_a")
    MultiDimension(LatencyRecorder, ("x",), "same").get_stats("x")
    types = [line for line in to_brpc_metrics().splitlines() if line.startswith("# TYPE ")]
    assert len(set(types)) == len(types)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_variable_that_raises_is_left_out(error: type[BaseException]) -> None:
    def fail() -> int:
        raise error

    PassiveStatus(fail, "fails")
    calls = MultiDimension(lambda: PassiveStatus(fail), ("a",), "calls")
    calls.get_stats("x")
    texts = MultiDimension(lambda: Reducer(max, ""), ("a",), "texts")
    texts.get_stats("x").record("text")
    assert [line for line in to_brpc_metrics().splitlines() if line[0] != "#"] == []
