"""SnapshotMerger: sums of several processes, which never fall."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.metrics import Histogram, Snapshot, SnapshotMerger, merge_snapshots
from pybrpc.metrics.histogram import buckets_of
from pybrpc.metrics.multi_dimension import MAX_STATS, OVERFLOW
from pybrpc.metrics.snapshot import Family
from pybrpc.metrics.snapshot_merger import MAX_ENDED_FAMILIES, MAX_HIDDEN


def snapshot_of(*families: Family) -> Snapshot:
    return Snapshot({family.name: family for family in families})


def counter(value: float, *labels: str) -> Family:
    family = Family("calls", "counter", "Calls", ("method",) if labels else ())
    family.add(labels, value)
    return family


def gauge(value: float) -> Family:
    return Family("load", "gauge", "Load", values={(): value})


def calls_of(merger: SnapshotMerger) -> object:
    return merger.merged().families["calls"].values.get(())


def test_counters_and_histograms_are_added_and_gauges_labelled() -> None:
    sizes = [
        Family("sizes", "histogram", "Sizes", values={(): Histogram(buckets_of(values, 3), 6)})
        for values in ([1, 2, 3], [3, 3])
    ]
    merged = merge_snapshots(
        {
            "1": snapshot_of(counter(2, "Echo"), gauge(0.5), sizes[0]),
            "2": snapshot_of(counter(3, "Echo"), gauge(0.75), sizes[1]),
        }
    )
    assert merged.families["calls"].values == {("Echo",): 5}
    assert merged.families["sizes"].values == {(): Histogram({1: 1, 2: 1, 3: 3}, 12)}
    assert merged.families["load"].labels == ("worker",)
    assert merged.families["load"].values == {("1",): 0.5, ("2",): 0.75}


def test_own_label_worker_is_renamed() -> None:
    family = Family("load", "gauge", "Load", ("worker",), 1, {("mine",): 1})
    merged = merge_snapshots({"1": snapshot_of(family)})
    assert merged.families["load"].labels == ("exported_worker", "worker")
    assert merged.families["load"].values == {("mine", "1"): 1}


def test_sum_does_not_fall_when_a_worker_ends() -> None:
    merger = SnapshotMerger()
    merger.update("1", snapshot_of(counter(5), gauge(1)))
    merger.update("2", snapshot_of(counter(7), gauge(2)))
    merger.retire("1")
    merger.retire("unknown")
    merged = merger.merged()
    assert merged.families["calls"].values == {(): 12}
    assert merged.families["load"].values == {("2",): 2}
    merger.update("1", snapshot_of(counter(1), gauge(3)))
    assert merger.merged().families["calls"].values == {(): 13}
    assert merger.merged().families["calls"].values == {(): 13}  # merging changes nothing


def test_metrics_of_another_form_are_left_out() -> None:
    other = Family("calls", "gauge", "Calls", values={(): 100})
    merged = merge_snapshots({"1": snapshot_of(counter(5)), "2": snapshot_of(other)})
    assert merged.families["calls"].values == {(): 5}
    labelled = merge_snapshots({"1": snapshot_of(counter(5)), "2": snapshot_of(counter(1, "x"))})
    assert labelled.families["calls"].values == {(): 5}


def test_sets_of_labels_of_ended_workers_are_limited() -> None:
    merger = SnapshotMerger()
    for worker in range(2):
        family = Family("calls", "counter", "Calls", ("peer",))
        for number in range(MAX_STATS):
            family.add((f"{worker}-{number}",), 1)
        merger.update(str(worker), snapshot_of(family))
        merger.retire(str(worker))
    values = merger.merged().families["calls"].values
    assert len(values) == MAX_STATS + 1
    assert values[(OVERFLOW,)] == MAX_STATS


# --- numbers that fall, or are not there any more ---


def test_counter_that_is_hidden_stays_in_the_sum() -> None:
    merger = SnapshotMerger()
    merger.update("1", snapshot_of(counter(5)))
    merger.update("2", snapshot_of(counter(7)))
    merger.update("1", snapshot_of(gauge(1)))
    assert calls_of(merger) == 12
    merger.update("1", snapshot_of(counter(6)))  # it was hidden for a while
    assert calls_of(merger) == 13
    merger.update("1", Snapshot())
    merger.update("1", snapshot_of(counter(2)))  # another one, which began at 0
    assert calls_of(merger) == 15
    merger.update("1", snapshot_of(counter(3)))
    merger.retire("1")
    assert calls_of(merger) == 6 + 3 + 7


def test_hidden_set_of_labels_stays_in_the_sum() -> None:
    merger = SnapshotMerger()
    family = counter(5, "a")
    family.add(("b",), 1)
    merger.update("1", snapshot_of(family))
    merger.update("1", snapshot_of(counter(6, "a")))
    assert merger.merged().families["calls"].values == {("a",): 6, ("b",): 1}


def test_number_that_was_read_late_does_not_fall() -> None:
    merger = SnapshotMerger()
    for value in (5, 4.5, 5):
        merger.update("1", snapshot_of(counter(value)))
        assert calls_of(merger) == 5
    sizes = [Family("sizes", "histogram", "", values={(): Histogram({1: n}, n)}) for n in (3, 2)]
    for family in sizes:
        merger.update("1", snapshot_of(family))
        assert merger.merged().families["sizes"].values == {(): Histogram({1: 3}, 3)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1])
def test_value_that_is_no_count_spoils_no_sum(value: float) -> None:
    merger = SnapshotMerger()
    merger.update("1", snapshot_of(counter(5)))
    merger.update("1", snapshot_of(counter(value)))
    merger.update("2", snapshot_of(counter(value)))
    assert calls_of(merger) == 5
    merger.retire("2")
    merger.retire("1")
    assert calls_of(merger) == 5
    merged = merge_snapshots({"1": snapshot_of(gauge(-1))})
    assert merged.families["load"].values == {("1",): -1}


def test_snapshot_of_the_caller_is_not_changed() -> None:
    first, second = snapshot_of(counter(5)), snapshot_of(counter(4))
    merger = SnapshotMerger()
    merger.update("1", first)
    merger.update("1", second)
    merger.merged().families["calls"].values.clear()
    assert (first, second) == (snapshot_of(counter(5)), snapshot_of(counter(4)))
    assert calls_of(merger) == 5


def many(count: int) -> Snapshot:
    """Counters c0, c1, ..."""
    names = [f"c{number}" for number in range(count)]
    return snapshot_of(*(Family(name, "counter", "", values={(): 1}) for name in names))


def test_hidden_counters_are_limited() -> None:
    merger = SnapshotMerger()
    merger.update("1", many(MAX_HIDDEN + 10))
    merger.update("1", snapshot_of(counter(1)))
    names = merger.merged().families
    assert len(names) == MAX_HIDDEN + 1
    assert "c9" not in names
    assert {"c10", "calls"} <= names.keys()


def test_metrics_of_ended_processes_are_limited() -> None:
    merger = SnapshotMerger()
    for number, snapshot in enumerate([snapshot_of(counter(2)), many(20), many(10)]):
        merger.update(str(number), snapshot)
        merger.retire(str(number))
    merger.update("living", snapshot_of(counter(1)))
    others = [Family(f"d{n}", "counter", "", values={(): 1}) for n in range(MAX_ENDED_FAMILIES)]
    merger.update("1", snapshot_of(*others[15:]))
    merger.retire("1")
    names = merger.merged().families.keys()
    assert len(names) == MAX_ENDED_FAMILIES
    # The last process with c10 has ended before the last one with c9.
    assert not {f"c{number}" for number in range(10, 16)} & names
    assert {"c16", "c9", f"d{MAX_ENDED_FAMILIES - 1}"} <= names
    # What a living process shows too is kept, however old it is.
    assert calls_of(merger) == 3


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["count", "hide", "show anew", "end", "read late"]),
        st.integers(0, 2),
        st.integers(0, 50),
    ),
    max_size=60,
)


@given(EVENTS)
def test_no_sum_ever_falls(events: list[tuple[str, int, int]]) -> None:
    merger = SnapshotMerger()
    counts: dict[int, int] = {}
    hidden: set[int] = set()
    before = 0.0
    for event, process, number in events:
        if event == "end":
            merger.retire(str(process))
            counts.pop(process, None)
            hidden.discard(process)
        else:
            shown = counts[process] = counts.get(process, 0) + number * (event == "count")
            if event == "hide":
                hidden.add(process)
            elif event == "show anew":
                shown = counts[process] = counts[process] if process not in hidden else number
                hidden.discard(process)
            elif event == "read late":
                shown = max(0, shown - number)
            snapshot = Snapshot() if process in hidden else snapshot_of(counter(shown))
            merger.update(str(process), snapshot)
        family = merger.merged().families.get("calls")
        now = 0 if family is None else family.values.get((), 0)
        assert isinstance(now, int)
        assert now >= before
        before = now
