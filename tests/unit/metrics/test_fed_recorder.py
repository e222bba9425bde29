"""FedRecorder: values of its own and tallies of feeds are one state."""

from __future__ import annotations

import pytest

from pybrpc.metrics import LatencyRecorder, Percentile
from pybrpc.metrics.fed_recorder import MAX_TALLIES, FedRecorder
from pybrpc.metrics.tally import tally_of
from tests.fakes.metrics import SteppedSampler


class Waiting:
    """A feed in which the values wait that it was given."""

    def __init__(self, recorder: FedRecorder, values: list[int]) -> None:
        self.recorder = recorder
        self.values = values
        recorder.add_feed(self)

    def flush(self) -> None:
        if self.values:
            self.recorder.tallies.append(tally_of(self.values))
            self.values = []


def test_state_has_values_and_tallies() -> None:
    percentile = Percentile()
    percentile.record(1)
    Waiting(percentile, [2, 3])
    Waiting(percentile, [4])
    percentile.record(5)
    value = percentile.get_value()
    assert (value.count, value.total) == (5, 15)
    assert percentile.tallies == []


def test_window_has_the_tallies_of_its_seconds(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder(window_s=2)
    feed = Waiting(recorder, [32, 32])
    recorder.record(64)
    sampler.pass_seconds()
    assert (recorder.stat().total, recorder.max_latency(), recorder.qps()) == (128, 64, 3)
    feed.values = [16]
    sampler.pass_seconds()
    assert recorder.stat().total == 144
    sampler.pass_seconds(2)
    assert (recorder.stat().total, recorder.max_latency(), recorder.count()) == (0, 0, 4)


def test_feed_that_is_removed_is_flushed_once_more() -> None:
    percentile = Percentile()
    feed = Waiting(percentile, [7])
    percentile.remove_feed(feed)
    feed.values = [8]
    assert percentile.get_value().total == 7


def test_reset_takes_what_waits_in_feeds() -> None:
    percentile = Percentile()
    feed = Waiting(percentile, [7])
    assert percentile.reset().total == 7
    feed.values = [8]
    assert percentile.get_value().total == 8


def test_few_tallies_wait() -> None:
    percentile = Percentile()
    for number in range(1, MAX_TALLIES + 1):
        assert len(percentile.tallies) == number - 1
        percentile.tallies.append(tally_of([1]))
        percentile.fold_if_many()
    assert percentile.tallies == []
    assert percentile.get_value().count == MAX_TALLIES


@pytest.mark.parametrize("make", [Percentile, LatencyRecorder])
def test_forked_child_forgets_the_tallies_of_its_parent(make: type[FedRecorder]) -> None:
    recorder = make()
    recorder.tallies.append(tally_of([1]))
    recorder.renew_locks()
    assert recorder.tallies == []
