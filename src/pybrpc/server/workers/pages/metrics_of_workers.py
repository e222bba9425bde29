"""MetricsOfWorkers: the metrics of all workers, those that have ended included."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable

from pybrpc.base.guard import WORKERS
from pybrpc.metrics.snapshot import Family, Snapshot
from pybrpc.metrics.snapshot_merger import SnapshotMerger
from pybrpc.server.workers.pages.asking import Answers, AskedWorker
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import PageAnswer

UP = "pybrpc_worker_up"
DEATHS = "pybrpc_worker_deaths"


class MetricsOfWorkers:
    """Keeps what each worker process has counted, so that no sum falls when one ends, or does not
    answer. Any thread; waits for another one that merges, for some milliseconds.

    A worker that ends in good order sends its numbers before. What one that is killed has counted
    since its latest snapshot is lost.
    """

    def __init__(self) -> None:
        self._merger = SnapshotMerger()
        self._living: dict[str, AskedWorker] = {}
        """Those that have sent a snapshot, by their names in the merger."""
        self._ended: weakref.WeakSet[PageChannel] = weakref.WeakSet()
        """Channels of those that have ended: a late answer must not be counted once more."""
        self._lock = threading.Lock()

    def take(self, answers: Answers) -> list[str]:
        """Take what each worker has answered to METRICS; each question has to be asked after the
        answers to the one before were taken. Return who has not answered, and why."""
        failures: list[str] = []
        taken: dict[AskedWorker, Snapshot] = {}
        for worker, answer in answers.items():
            try:
                taken[worker] = snapshot_of(answer)
            except ValueError as error:
                failures.append(f"{worker.name}: {error}")
        with self._lock:
            for worker, snapshot in taken.items():
                if worker.channel not in self._ended:
                    name = str(worker.pid)
                    self._living[name] = worker
                    self._merger.update(name, snapshot)
        return failures

    def retire(self, pid: int, channel: PageChannel) -> None:
        """The worker has ended. Take what it has sent at its end, if it has."""
        last = channel.last_answer
        snapshot = None
        if last is not None:
            try:
                snapshot = snapshot_of(last)
            except ValueError as error:
                WORKERS.warning("the last numbers of the worker with pid %d: %s", pid, error)
        with self._lock:
            self._ended.add(channel)
            name = str(pid)
            self._living.pop(name, None)
            if snapshot is not None:
                self._merger.update(name, snapshot)
            self._merger.retire(name)

    def merged(self, answers: Answers, deaths: int) -> Snapshot:
        """All as one, with a gauge that says which workers have answered."""
        up = Family(UP, "gauge", "Whether the worker answers its supervisor", ("worker",))
        died = Family(DEATHS, "counter", "Workers that ended without being asked to")
        died.values[()] = deaths
        with self._lock:
            labels = labels_of({**dict.fromkeys(self._living.values()), **answers})
            named = {str(pid): label for pid, label in labels.items()}
            merged = self._merger.merged(named)
        for worker, answer in answers.items():
            is_up = isinstance(answer, PageAnswer) and answer.status == 200
            up.values[(labels[worker.pid],)] = int(is_up)
        families = merged.families | {UP: up, DEATHS: died}
        return Snapshot(dict(sorted(families.items())))


def labels_of(workers: Iterable[AskedWorker]) -> dict[int, str]:
    """Label of each worker by its process id: its number, and if several have the same, as while
    one is being replaced, its process id too for all but the one that serves."""
    labels: dict[int, str] = {}
    taken: set[str] = set()
    for worker in sorted(workers, key=lambda each: (each.state != "serving", each.pid)):
        label = str(worker.number)
        if worker.pid in labels:
            continue
        labels[worker.pid] = label if label not in taken else f"{label}-{worker.pid}"
        taken.add(label)
    return labels


def snapshot_of(answer: PageAnswer | str) -> Snapshot:
    """The snapshot that a worker has answered with. ValueError that says why there is none."""
    if isinstance(answer, str):
        raise ValueError(answer)
    if answer.status != 200:
        raise ValueError(answer.text().strip())
    return Snapshot.from_bytes(answer.body)
