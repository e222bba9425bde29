"""MultiDimension: its limits; beside bRPC's own tests."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pybrpc.metrics import Adder, LatencyRecorder, MultiDimension
from pybrpc.metrics.multi_dimension import MAX_LABEL_CHARS, MAX_STATS, OVERFLOW
from tests.fakes.metrics import SteppedSampler


def test_sets_above_the_limit_share_one_variable() -> None:
    counts = MultiDimension(Adder, ("peer", "method"), max_stats=2)
    for peer in range(5):
        counts.get_stats(peer, "Echo").add()
    assert counts.count_stats() == 2
    assert counts.overflow_count == 3
    assert counts.get_value() == {
        ("0", "Echo"): 1,
        ("1", "Echo"): 1,
        (OVERFLOW, OVERFLOW): 3,
    }
    assert not counts.has_stats("4", "Echo")
    counts.delete_stats("0", "Echo")
    counts.get_stats("4", "Echo").add()  # there is room again
    assert counts.has_stats("4", "Echo")
    counts.clear_stats()
    assert counts.items() == []


def test_default_limit_is_that_of_cpp() -> None:
    counts = MultiDimension(Adder, ("number",))
    for number in range(MAX_STATS + 10):
        counts.get_stats(str(number))
    assert counts.count_stats() == MAX_STATS == 20_000
    assert counts.overflow_count == 10


def test_long_value_is_cut() -> None:
    counts = MultiDimension(Adder, ("a",))
    assert counts.get_stats("x" * 5000) is counts.get_stats("x" * 3000)
    assert counts.list_stats() == [("x" * MAX_LABEL_CHARS,)]


@pytest.mark.parametrize("value", [None, 1.5, b"x", ("x",)])
def test_value_is_a_str_or_an_int(value: Any) -> None:
    with pytest.raises(TypeError, match="str or an int"):
        MultiDimension(Adder, ("a",)).get_stats(value)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="sequence of names"):
        MultiDimension(Adder, "abc")
    with pytest.raises(ValueError, match="at least one name"):
        MultiDimension(Adder, ())
    with pytest.raises(ValueError, match="max_stats"):
        MultiDimension(Adder, ("a",), max_stats=0)
    wrong: Any = MultiDimension(lambda: 3, ("a",))  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="make returns a variable"):
        wrong.get_stats("x")
    nested: Any = MultiDimension(lambda: MultiDimension(Adder, ("b",)), ("a",))
    with pytest.raises(TypeError, match="without labels"):
        nested.get_stats("x")


def test_threads_get_one_variable_for_a_set() -> None:
    counts = MultiDimension(Adder, ("a",))
    start = threading.Barrier(8)

    def add() -> None:
        start.wait()
        for number in range(200):
            counts.get_stats(number).add()

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(counts.get_value().values()) == {8}


def test_deleted_recorder_is_sampled_no_more(sampler: SteppedSampler) -> None:
    import gc

    recorders = MultiDimension(LatencyRecorder, ("a",))
    recorders.get_stats("x")
    assert len(sampler._sampled) == 1
    recorders.delete_stats("x")
    gc.collect()
    assert len(sampler._sampled) == 0
