"""CallTimes: the calls of a source, while a channel uses it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.calls.address_variables import ADDRESSES, MAX_ADDRESSES
from pybrpc.client.calls.call_times import MAX_METHODS, CallTimes
from pybrpc.errors import ErrorCode, make_rpc_error
from pybrpc.metrics import list_exposed, take_snapshot
from pybrpc.metrics.sampler import default_sampler
from tests.fakes.metrics import SteppedSampler, counts, number, own_variables

PEER = Endpoint("10.1.2.3", 80)
PREFIX = "rpc_channel_10_1_2_3_80"


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    with own_variables() as sampler:
        ADDRESSES.start_anew()
        yield sampler
        ADDRESSES.start_anew()


def method(name: str = "a.B.C") -> Any:
    return SimpleNamespace(full_name=name)


def opened(endpoint: Endpoint = PEER) -> CallTimes:
    times = CallTimes(endpoint, "baidu_std")
    times.open()
    return times


def of_channels() -> set[str]:
    names = {name for name in list_exposed() if name.startswith("rpc_channel_")}
    return names - {"rpc_channel_connection_count"}


def test_calls_are_those_of_the_address_and_have_labels() -> None:
    times, called = opened(), method()
    assert of_channels() == set(), "no call, no variable"
    for error in (None, None, make_rpc_error(ErrorCode.ERPCTIMEDOUT, "late")):
        times.note(called, error, 0.5)
    times.note(method("a.B.D"), None, 0.5)
    assert number(f"{PREFIX}_count") == 3
    assert number(f"{PREFIX}_error") == 1
    assert counts("client") == {"OK": 3, "ERPCTIMEDOUT": 1}
    family = take_snapshot().families["brpc_client_call_duration_seconds"]
    assert ("a.B", "D", "OK", "baidu_std") in family.values


def test_sources_of_one_address_share_its_variables(sampler: SteppedSampler) -> None:
    one, two = opened(), opened()
    for times in (one, two):
        times.note(method(), None, 0.5)
    assert number(f"{PREFIX}_count") == 2
    one.close()
    sampler.pass_seconds()
    assert number(f"{PREFIX}_count") == 2
    two.close()
    assert of_channels() != set(), "a finalizer may close it: it waits for nothing"
    sampler.pass_seconds()
    assert of_channels() == set()
    assert len(ADDRESSES) == 0
    assert counts("client") == {"OK": 2}
    assert ADDRESSES.take_sample(0.0) is False


def test_source_that_is_used_again_counts_on(sampler: SteppedSampler) -> None:
    times = opened()
    times.note(method(), None, 0.5)
    times.close()
    times.open()
    sampler.pass_seconds()
    times.note(method(), None, 0.5)
    assert number(f"{PREFIX}_count") == 2


def test_calls_that_end_after_the_close_need_no_variables(sampler: SteppedSampler) -> None:
    times, called = opened(), method()
    times.note(called, None, 0.5)
    times.close()
    sampler.pass_seconds()
    times.note(called, None, 0.5)
    times.note(called, make_rpc_error(ErrorCode.ECLOSE, "closed"), 0.5)
    assert of_channels() == set()
    assert counts("client") == {"OK": 1}


def test_names_of_methods_that_a_user_makes_up_are_bounded() -> None:
    times = opened()
    for made_up in range(MAX_METHODS + 5):
        times.note(method(f"a.B.m{made_up}"), None, 0.1)
    labels = take_snapshot().families["brpc_client_call_duration_seconds"].values
    assert len(labels) == MAX_METHODS + 1
    assert number(f"{PREFIX}_count") == MAX_METHODS + 5


def test_addresses_are_bounded() -> None:
    for port in range(1, MAX_ADDRESSES + 5):
        opened(Endpoint("10.0.0.1", port)).note(method(), None, 0.1)
    assert len(ADDRESSES) == MAX_ADDRESSES + 1
    assert number("rpc_channel_overflow_count") == 4


def test_counting_never_raises_into_a_call(caplog: pytest.LogCaptureFixture) -> None:
    class Method:
        @property
        def full_name(self) -> str:
            raise SystemExit

    opened().note(Method(), None, 0.1)  # type: ignore[arg-type]
    assert "counting a call to 10.1.2.3:80 raised" in caplog.text


def test_forked_child_forgets_the_addresses_of_its_parent() -> None:
    times = opened()
    times.note(method(), None, 0.1)
    ADDRESSES.start_anew()
    assert of_channels() == set()
    opened().note(method(), None, 0.1)
    assert number(f"{PREFIX}_count") == 1
    assert default_sampler().ticks == 0
    assert repr(times) == "<CallTimes of 10.1.2.3:80, baidu_std>"
