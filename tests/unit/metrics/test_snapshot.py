"""Snapshot: names and kinds of metrics, and its bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.metrics import (
    Adder,
    Counter,
    Histogram,
    IntRecorder,
    LatencyRecorder,
    MultiDimension,
    PassiveStatus,
    Percentile,
    Snapshot,
    Status,
    take_snapshot,
)
from pybrpc.metrics.multi_dimension import OVERFLOW
from pybrpc.metrics.snapshot import Family
from tests.fakes.metrics import SteppedSampler


def kinds_of(snapshot: Snapshot) -> dict[str, str]:
    return {name: family.kind for name, family in snapshot.families.items()}


def snapshot_of(*families: Family) -> Snapshot:
    return Snapshot({family.name: family for family in families})


def test_each_variable_has_its_metric(sampler: SteppedSampler) -> None:
    Adder("adder").add(2)
    Counter("grown_total").add(3)
    IntRecorder("average").record(4)
    Percentile("sizes").record(5)
    Status("text", "text")
    PassiveStatus(lambda: 6, "ticks", is_counter=True)
    LatencyRecorder("search").record(7)
    LatencyRecorder("other", metric_name="other_seconds")
    sampler.pass_seconds()
    snapshot = take_snapshot()
    assert kinds_of(snapshot) == {
        "adder": "gauge",
        "average": "gauge",
        "grown": "counter",
        "other_seconds": "histogram",
        "other_max_latency_seconds": "gauge",
        "search_latency_seconds": "histogram",
        "search_max_latency_seconds": "gauge",
        "sizes": "histogram",
        "ticks": "counter",
    }
    assert snapshot.families["search_latency_seconds"].values == {(): Histogram({7: 1}, 7)}
    assert snapshot.families["search_max_latency_seconds"].values == {(): 7e-6}
    assert snapshot.families["grown"].values == {(): 3}


def test_labels_become_one_family_with_its_overflow() -> None:
    calls = MultiDimension(Counter, ("method",), "calls", help="Calls", max_stats=1)
    calls.get_stats("Echo").add(2)
    calls.get_stats("Other").add(3)
    recorders = MultiDimension(LatencyRecorder, ("method",), "d", metric_name="duration_seconds")
    recorders.get_stats("Echo").record(5)
    snapshot = take_snapshot()
    assert snapshot.families["calls"] == Family(
        "calls", "counter", "Calls", ("method",), 1, {("Echo",): 2, (OVERFLOW,): 3}
    )
    assert snapshot.families["duration_seconds"].values == {("Echo",): Histogram({5: 1}, 5)}
    assert snapshot.families["pybrpc_metrics_overflows"].values == {("calls",): 1}


def test_second_variable_with_the_name_of_a_metric_is_left_out() -> None:
    Adder("a", metric_name="same").add(1)
    Adder("b", metric_name="same").add(2)
    MultiDimension(Adder, ("x",), "c", metric_name="same").get_stats("x").add(3)
    assert take_snapshot().families["same"].values == {(): 1}


def test_variable_that_raises_leaves_others_of_its_labels() -> None:
    answers = iter([3, "text", None, ValueError, 4])

    def answer() -> object:
        found = next(answers)
        if isinstance(found, type):
            raise found
        return found

    calls = MultiDimension(lambda: PassiveStatus(answer), ("a",), "calls")
    for name in "abcde":
        calls.get_stats(name)
    assert take_snapshot().families["calls"].values == {("a",): 3, ("e",): 4}


def test_name_that_begins_with_a_digit_gets_an_underscore() -> None:
    Adder("9lives")
    assert list(take_snapshot().families) == ["_9lives"]


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 2**40) | st.floats(allow_nan=False)))
def test_bytes_become_the_same_snapshot(values: dict[str, float]) -> None:
    family = Family("calls", "gauge", "Help", ("a",), 7, {(key,): v for key, v in values.items()})
    sizes = Family("sizes", "histogram", "", values={(): Histogram({3: 4, 900: 1}, 17)})
    snapshot = snapshot_of(family, sizes)
    assert Snapshot.from_bytes(snapshot.to_bytes()) == snapshot


FAMILY = {"name": "a", "kind": "gauge", "help": "", "labels": ["x"], "divisor": 1, "values": []}


@pytest.mark.parametrize(
    "change",
    [
        {"name": 1},
        {"name": "a b"},
        {"name": "a 1\n# TYPE b counter\nb"},
        {"name": ""},
        {"labels": ["x y"]},
        {"labels": ['x="1"} 2\ny{z']},
        {"labels": ["le"]},
        {"labels": ["x", "x"]},
        {"kind": "other"},
        {"labels": 3},
        {"divisor": 0},
        {"divisor": "1"},
        {"values": [[["x"], "text"]]},
        {"values": [[[], 1]]},
        {"values": [[[1], 1]]},
        {"values": [1]},
        {"values": [[["x"], 10**400]]},
        {"kind": "histogram", "values": [[["x"], 1]]},
        {"kind": "histogram", "values": [[["x"], {"total": 10**400, "buckets": []}]]},
        {"kind": "histogram", "values": [[["x"], {"total": 1, "buckets": [[961, 1]]}]]},
        {"kind": "histogram", "values": [[["x"], {"total": 1, "buckets": [[-1, 1]]}]]},
        {"kind": "histogram", "values": [[["x"], {"total": 1, "buckets": [[1, -1]]}]]},
        {"kind": "histogram", "values": [[["x"], {"total": "1", "buckets": []}]]},
        {"kind": "histogram", "values": [[["x"], {"total": 1, "buckets": [[1, "2"]]}]]},
    ],
)
def test_wrong_bytes_are_refused(change: dict[str, object]) -> None:
    assert Snapshot.from_bytes(json.dumps([FAMILY]).encode())
    with pytest.raises(ValueError, match="no snapshot"):
        Snapshot.from_bytes(json.dumps([FAMILY | change]).encode())


@pytest.mark.parametrize("data", [b"", b"{}x", b"\xff", b"3", b'["a"]', b"[" * 100_000])
def test_bytes_that_are_no_list_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        Snapshot.from_bytes(data)
