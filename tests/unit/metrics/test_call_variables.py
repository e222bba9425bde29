"""CallVariables: all names or none; one more object of the same name gets a number."""

from __future__ import annotations

import pytest

from pybrpc.metrics import Adder, Status, list_exposed, take_snapshot
from pybrpc.metrics.call_variables import MAX_NUMBER, CallVariables, expose_below_free_name
from tests.fakes.metrics import SteppedSampler, number


def test_calls_are_exposed_as_bRPC_does(sampler: SteppedSampler) -> None:
    variables = CallVariables("calls of a.B.C", {"_concurrency": Status(3)})
    variables.expose("rpc_server_80_a_b_c")
    for _ in range(10):
        variables.latency.record(32)
    variables.errors.add()
    sampler.pass_seconds()
    parts = {name.removeprefix("rpc_server_80_a_b_c_"): number(name) for name in shown()}
    assert parts == {
        "concurrency": 3,
        "count": 10,
        "eps": 1,
        "error": 1,
        "latency": 32,
        **dict.fromkeys(
            ["latency_80", "latency_90", "latency_99", "latency_999", "latency_9999"], 32
        ),
        "max_latency": 32,
        "qps": 10,
    }
    variables.hide()
    assert list_exposed() == []


def shown() -> list[str]:
    return [name for name in list_exposed() if not name.endswith(("_cdf", "_percentiles"))]


def test_prometheus_sees_no_second_histogram() -> None:
    CallVariables("calls").expose("some")
    kinds = {family.kind for family in take_snapshot().families.values()}
    assert kinds == {"counter", "gauge"}


@pytest.mark.parametrize("taken", ["some_count", "some_error", "some_eps"])
def test_nothing_is_exposed_if_one_name_is_in_use(taken: str) -> None:
    Adder(taken)
    with pytest.raises(ValueError, match=taken):
        CallVariables("calls").expose("some")
    assert list_exposed() == [taken]


def test_one_more_of_a_name_gets_a_number() -> None:
    many = [CallVariables("calls") for _ in range(3)]
    assert [expose_below_free_name("some", each.expose) for each in many] == [
        "some",
        "some_2",
        "some_3",
    ]
    many[1].hide()
    assert expose_below_free_name("some", CallVariables("calls").expose) == "some_2"


def test_variables_that_find_no_free_name_stay_hidden(caplog: pytest.LogCaptureFixture) -> None:
    tried = []

    def expose(name: str) -> None:
        tried.append(name)
        raise ValueError("in use")

    assert expose_below_free_name("some", expose) == ""
    assert len(tried) == MAX_NUMBER - 1
    assert "Variables of some stay hidden: in use" in caplog.text
