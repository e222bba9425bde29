"""LatencyFeed: each latency counts once in both of its variables."""

from __future__ import annotations

import threading

import pytest

from pybrpc.metrics import LatencyRecorder, Percentile
from pybrpc.metrics.fed_recorder import MAX_TALLIES
from pybrpc.metrics.latency_feed import LatencyFeed
from pybrpc.metrics.recorder import FOLD_AT, WAIT_AT
from tests.fakes.metrics import SteppedSampler


def test_latencies_are_in_both_variables_when_these_are_read() -> None:
    durations, recorder = Percentile(), LatencyRecorder()
    feed = LatencyFeed(durations, recorder)
    feed.record(5)
    feed.record(7)
    assert (recorder.count(), recorder.get_value().total) == (2, 12)
    feed.record(9)
    assert (durations.get_value().count, durations.get_value().total) == (3, 21)
    assert recorder.get_value().total == 21


def test_feed_without_a_recorder_has_one_variable() -> None:
    durations = Percentile()
    feed = LatencyFeed(durations)
    feed.record(1)
    assert durations.get_value().count == 1
    assert repr(feed) == "<LatencyFeed of <Percentile hidden>, 0 wait>"


def test_each_second_the_recorder_takes_what_waits(sampler: SteppedSampler) -> None:
    recorder = LatencyRecorder()
    feed = LatencyFeed(Percentile(), recorder)
    for latency_us in (10, 30):
        feed.record(latency_us)
    sampler.pass_seconds()
    assert (recorder.latency(), recorder.max_latency(), recorder.qps()) == (20, 30, 2)
    assert repr(feed).endswith(", 0 wait>")


def test_no_more_than_1024_latencies_wait_anywhere() -> None:
    durations, recorder = Percentile(), LatencyRecorder()
    feed = LatencyFeed(durations, recorder)
    for _ in range(2 * FOLD_AT + 5):
        feed.record(1)
    assert repr(feed).endswith(", 5 wait>")
    for _ in range(MAX_TALLIES * FOLD_AT):
        feed.record(1)
    assert len(durations.tallies) < MAX_TALLIES
    assert len(recorder.tallies) < MAX_TALLIES
    assert durations.get_value().count == recorder.count() == (MAX_TALLIES + 2) * FOLD_AT + 5


def test_variables_of_several_feeds_have_the_sum() -> None:
    durations, first, second = Percentile(), LatencyRecorder(), LatencyRecorder()
    one, two = LatencyFeed(durations, first), LatencyFeed(durations, second)
    one.record(1)
    two.record(2)
    assert durations.get_value().total == 3
    assert (first.get_value().total, second.get_value().total) == (1, 2)


def test_closed_feed_has_handed_all_on_and_is_forgotten() -> None:
    durations, recorder = Percentile(), LatencyRecorder()
    feed = LatencyFeed(durations, recorder)
    feed.record(1)
    feed.close()
    assert durations._feeds == recorder._feeds == ()
    assert durations.get_value().count == recorder.count() == 1
    for _ in range(WAIT_AT):
        feed.record(1)
    assert repr(feed).endswith(", 0 wait>"), "what is recorded later takes no more memory"


def test_latencies_of_many_threads_count_once_while_others_read() -> None:
    durations, recorder = Percentile(), LatencyRecorder()
    feed = LatencyFeed(durations, recorder)
    together = threading.Barrier(5)

    def record() -> None:
        together.wait()
        for _ in range(5000):
            feed.record(3)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    together.wait()
    seen = [durations.get_value().count for _ in range(200)]
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert durations.get_value().count == recorder.count() == 20_000
    assert recorder.get_value().total == 60_000


@pytest.mark.python_only
def test_signal_handler_in_the_middle_of_a_flush_neither_hangs_nor_counts_twice() -> None:
    durations, recorder = Percentile(), LatencyRecorder()
    feed = LatencyFeed(durations, recorder)

    struck: list[bool] = []

    class Values(list[int]):
        """Runs a signal handler, which records and reads, when it is cut."""

        def __getitem__(self, key: object) -> list[int]:  # type: ignore[override]
            if not struck:
                struck.append(True)
                feed.record(2)
                assert durations.get_value().count == 0
            return list.__getitem__(self, key)  # type: ignore[call-overload,no-any-return]

    feed._values = Values([1])
    feed.flush()
    assert repr(feed).endswith(", 1 wait>")
    assert durations.get_value().total == recorder.get_value().total == 3


def test_forked_child_begins_empty_with_a_free_lock() -> None:
    durations, recorder = Percentile(), LatencyRecorder()
    feed = LatencyFeed(durations, recorder)
    feed.record(1)
    feed.renew_locks()
    feed.record(2)
    assert durations.get_value().total == recorder.get_value().total == 2
