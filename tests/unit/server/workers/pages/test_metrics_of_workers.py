"""MetricsOfWorkers: sums over workers that answer, do not, die and are replaced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pybrpc.metrics import Snapshot
from pybrpc.metrics.exposition.prometheus import to_prometheus
from pybrpc.metrics.snapshot import Family
from pybrpc.server.workers.pages.asking import Answers, AskedWorker
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import PageAnswer
from pybrpc.server.workers.pages.metrics_of_workers import (
    DEATHS,
    UP,
    MetricsOfWorkers,
    labels_of,
)

CHANNELS: defaultdict[int, PageChannel] = defaultdict(PageChannel)
"""One of each process, which is never used."""


@pytest.fixture(autouse=True)
def channels() -> Iterator[None]:
    yield
    for channel in CHANNELS.values():
        channel.close()
    CHANNELS.clear()


def worker(number: int, pid: int, state: str = "serving") -> AskedWorker:
    return AskedWorker(number, pid, state, CHANNELS[pid])


def answer(calls: int, load: float = 0.5) -> PageAnswer:
    families = {
        "calls": Family("calls", "counter", "Calls", values={(): calls}),
        "load": Family("load", "gauge", "Load", values={(): load}),
    }
    return PageAnswer(200, body=Snapshot(families).to_bytes())


def calls_of(metrics: MetricsOfWorkers, answers: Answers) -> float:
    metrics.take(answers)
    found = metrics.merged(answers, 0).families["calls"].values[()]
    assert isinstance(found, int)
    return found


def test_counters_are_added_up_and_gauges_kept_apart() -> None:
    metrics = MetricsOfWorkers()
    answers: Answers = {worker(0, 7): answer(3, 0.1), worker(1, 8): answer(4, 0.2)}
    assert metrics.take(answers) == []
    families = metrics.merged(answers, 2).families
    assert families["calls"].values == {(): 7}
    assert families["load"].values == {("0",): 0.1, ("1",): 0.2}
    assert families[UP].values == {("0",): 1, ("1",): 1}
    assert families[DEATHS].values == {(): 2}


def end(metrics: MetricsOfWorkers, ended: AskedWorker, last: PageAnswer | None = None) -> None:
    """The worker ends, and has sent `last` before."""
    ended.channel.last_answer = last
    metrics.retire(ended.pid, ended.channel)


def test_sum_never_falls() -> None:
    metrics = MetricsOfWorkers()
    first, second = worker(0, 7), worker(1, 8)
    assert calls_of(metrics, {first: answer(3), second: answer(4)}) == 7
    assert calls_of(metrics, {first: answer(5), second: "it is silent"}) == 9
    end(metrics, second)
    assert calls_of(metrics, {first: answer(5)}) == 9
    assert calls_of(metrics, {first: answer(5), worker(1, 9): answer(1)}) == 10
    end(metrics, first)
    end(metrics, worker(1, 9))
    assert calls_of(metrics, {}) == 10


def test_last_numbers_of_a_worker_are_counted_though_nobody_has_asked() -> None:
    metrics = MetricsOfWorkers()
    end(metrics, worker(0, 7), answer(3))
    assert calls_of(metrics, {}) == 3
    assert calls_of(metrics, {worker(0, 8): answer(2)}) == 5
    end(metrics, worker(0, 8), answer(4))
    assert calls_of(metrics, {}) == 7
    assert "load" not in metrics.merged({}, 0).families


@pytest.mark.parametrize(
    "last", [PageAnswer(200, body=b"nonsense"), PageAnswer(500, body=b"no message")], ids=str
)
def test_nonsense_at_the_end_leaves_the_latest_numbers(
    last: PageAnswer, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = MetricsOfWorkers()
    assert calls_of(metrics, {worker(0, 7): answer(3)}) == 3
    end(metrics, worker(0, 7), last)
    assert calls_of(metrics, {}) == 3
    assert "the last numbers of the worker with pid 7: " in caplog.text


def test_answer_that_comes_after_the_end_is_not_counted_again() -> None:
    metrics = MetricsOfWorkers()
    first = worker(0, 7)
    assert calls_of(metrics, {first: answer(3)}) == 3
    end(metrics, first, answer(4))
    assert calls_of(metrics, {first: answer(3)}) == 4
    assert calls_of(metrics, {}) == 4


def test_process_id_that_is_used_again_is_another_worker() -> None:
    metrics = MetricsOfWorkers()
    assert calls_of(metrics, {worker(0, 7): answer(3)}) == 3
    end(metrics, worker(0, 7))
    with_the_same_pid = AskedWorker(0, 7, "serving", CHANNELS[-7])
    assert calls_of(metrics, {with_the_same_pid: answer(1)}) == 4


def test_worker_that_begins_to_stop_is_the_same() -> None:
    metrics = MetricsOfWorkers()
    assert calls_of(metrics, {worker(0, 7): answer(3)}) == 3
    stopping = worker(0, 7, "stopping")
    answers: Answers = {stopping: answer(4), worker(0, 8): answer(1)}
    assert calls_of(metrics, answers) == 5
    assert metrics.merged(answers, 0).families["load"].values.keys() == {("0-7",), ("0",)}


def test_workers_that_do_not_answer_are_named() -> None:
    metrics = MetricsOfWorkers()
    answers: Answers = {
        worker(0, 7): "it is silent",
        worker(1, 8): PageAnswer(503, body=b"it starts\n"),
        worker(2, 9): PageAnswer(200, body=b"nonsense"),
        worker(3, 10): answer(1),
    }
    assert metrics.take(answers) == [
        "worker 0 (pid 7): it is silent",
        "worker 1 (pid 8): it starts",
        "worker 2 (pid 9): these bytes are no snapshot of metrics",
    ]
    up = metrics.merged(answers, 0).families[UP].values
    assert up == {("0",): 0, ("1",): 0, ("2",): 1, ("3",): 1}


def test_labels_are_numbers_and_never_the_same() -> None:
    workers = [worker(0, 7, "stopping"), worker(0, 9), worker(0, 8, "starting"), worker(1, 5)]
    assert labels_of([*workers, *workers]) == {9: "0", 5: "1", 7: "0-7", 8: "0-8"}


def test_prometheus_reads_them() -> None:
    metrics = MetricsOfWorkers()
    answers: Answers = {worker(0, 7): answer(3), worker(0, 8, "stopping"): answer(4)}
    metrics.take(answers)
    text = to_prometheus(metrics.merged(answers, 1))
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert [sample.value for sample in found["calls"].samples] == [7]
    assert len(found["load"].samples) == 2
