"""MetricsOfWorkers: the metrics of all workers, those that have ended included."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection, Iterable

from pybrpc.metrics.snapshot import Family, Snapshot, SnapshotMerger
from pybrpc.server.workers.pages.asking import Answers, AskedWorker
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import PageAnswer

UP = "pybrpc_worker_up"
DEATHS = "pybrpc_worker_deaths"


class MetricsOfWorkers:
    """Keeps the latest snapshot of each worker process, so that no sum falls when one dies, or does
    not answer. What it has counted since its latest snapshot is lost with it. Any thread."""

    def __init__(self) -> None:
        self._latest: dict[AskedWorker, Snapshot] = {}
        self._ended = SnapshotMerger()
        self._gone: weakref.WeakSet[PageChannel] = weakref.WeakSet()
        """Those of workers that are in `_ended`: a late answer must not be counted once more."""
        self._lock = threading.Lock()

    def take(self, answers: Answers, living: Collection[int]) -> list[str]:
        """Take what each worker has answered to METRICS; `living` are the process ids of those that
        have not ended. Return who has not answered, and why."""
        failures: list[str] = []
        taken: dict[AskedWorker, Snapshot] = {}
        for worker, answer in answers.items():
            try:
                taken[worker] = _snapshot(answer)
            except ValueError as error:
                failures.append(f"{worker.name}: {error}")
        with self._lock:
            known = {worker.pid: worker for worker in self._latest}
            for worker, snapshot in taken.items():
                self._latest.pop(known.get(worker.pid, worker), None)
                if worker.channel not in self._gone:
                    self._latest[worker] = snapshot
            for worker in [each for each in self._latest if each.pid not in living]:
                self._gone.add(worker.channel)
                self._ended.update(str(worker.pid), self._latest.pop(worker))
                self._ended.retire(str(worker.pid))
        return failures

    def merged(self, answers: Answers, deaths: int) -> Snapshot:
        """All as one, with a gauge that says which workers have answered."""
        up = Family(UP, "gauge", "Whether the worker answers its supervisor", ("worker",))
        died = Family(DEATHS, "counter", "Workers that ended without being asked to")
        died.values[()] = deaths
        with self._lock:
            merger = SnapshotMerger()
            merger.update("", self._ended.merged())
            labels = labels_of({*self._latest, *answers})
            for worker, snapshot in self._latest.items():
                merger.update(labels[worker.pid], snapshot)
        for worker, answer in answers.items():
            is_up = isinstance(answer, PageAnswer) and answer.status == 200
            up.values[(labels[worker.pid],)] = int(is_up)
        families = merger.merged().families | {UP: up, DEATHS: died}
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


def _snapshot(answer: PageAnswer | str) -> Snapshot:
    """ValueError that says why there is none."""
    if isinstance(answer, str):
        raise ValueError(answer)
    if answer.status != 200:
        raise ValueError(answer.text().strip())
    return Snapshot.from_bytes(answer.body)
