"""MethodTimes: what counts as a success, as an error, and under which labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.metrics import list_exposed, take_snapshot
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.server.calls.method_times import MethodTimes
from pybrpc.server.calls.server_call import NO_ANSWER
from tests.fakes.metrics import SteppedSampler, counts, own_variables


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    with own_variables() as sampler:
        yield sampler


def test_calls_that_succeed_have_a_latency_and_all_have_a_duration() -> None:
    times = MethodTimes("a.B.C", {})
    for code, seconds in ((0, 0.25), (0, 0.75), (ErrorCode.EREQUEST, 9.0), (NO_ANSWER, 0.5)):
        times.note(BAIDU_STD, code, seconds)
    latency = times.variables.latency.get_value()
    assert (latency.count, latency.total) == (2, 1_000_000)
    assert times.variables.errors.get_value() == 2
    assert counts("server") == {"OK": 2, "EREQUEST": 1, "NO_RESPONSE": 1}
    assert repr(times).startswith("<MethodTimes {latency=")


def test_protocols_have_labels_of_their_own_and_one_latency() -> None:
    times = MethodTimes("a.B.C", {})
    for protocol in (BAIDU_STD, HULU_PBRPC, HULU_PBRPC, BAIDU_STD, BAIDU_STD):
        times.note(protocol, 0, 0.001)
    family = take_snapshot().families["brpc_server_call_duration_seconds"]
    found: dict[Any, Any] = family.values
    assert {labels: value.count for labels, value in found.items()} == {
        ("a.B", "C", "OK", "baidu_std"): 3,
        ("a.B", "C", "OK", "hulu_pbrpc"): 2,
    }
    assert times.variables.latency.count() == 5


def test_latency_of_the_last_seconds_is_that_of_the_window(sampler: SteppedSampler) -> None:
    times = MethodTimes("a.B.C", {})
    times.note(BAIDU_STD, 0, 0.000016)
    sampler.pass_seconds()
    assert times.variables.latency.latency() == times.variables.latency.max_latency() == 16
    sampler.pass_seconds(11)
    assert times.variables.latency.latency() == 0


def test_closed_times_are_hidden_and_have_handed_all_on() -> None:
    times = MethodTimes("a.B.C", {})
    times.variables.expose("rpc_server_x_a_b_c")
    times.note(BAIDU_STD, 0, 0.001)
    times.close()
    assert not any(name.startswith("rpc_server") for name in list_exposed())
    assert counts("server") == {"OK": 1}
    times.note(BAIDU_STD, 7, 0.001)  # a handler that outlasts the stop
