"""SnapshotMerger: the metrics of several processes as one, whose sums never fall.

Prometheus takes a counter that falls for one that has begun again at 0, and adds all of it to its
rates. So what one process has counted stays in the sums when the process ends, and when it does not
show it any more: the counters of a channel end with its last channel, for instance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pybrpc.metrics.histogram import Histogram
from pybrpc.metrics.multi_dimension import MAX_STATS, OVERFLOW
from pybrpc.metrics.snapshot import Family, Snapshot

WORKER_LABEL = "worker"
MAX_HIDDEN = 4096
"""Counters and histograms that one process has shown once, and does not show any more. Of more of
them, those that were hidden first are forgotten."""
MAX_ENDED_FAMILIES = 4096
"""Metrics of processes that have ended. Of more of them, those that no process has shown for
longest are forgotten, unless a living one shows them."""

_NO_LABELS: Mapping[str, str] = {}
_Families = dict[str, Family]


class ProcessSums:
    """The latest snapshot of one process, and what it has counted and hidden since. For one thread
    at a time."""

    def __init__(self) -> None:
        self.latest = Snapshot()
        """With the last values of what is hidden now."""
        self._hidden: dict[tuple[str, tuple[str, ...]], None] = {}
        self._earlier: _Families = {}
        """Counts of variables that were hidden before others took their names."""

    def take(self, snapshot: Snapshot) -> None:
        """`snapshot` was taken after the one before.

        A number that is smaller than before was read late, and the larger one is kept; unless it
        was hidden meanwhile: then it has begun again, and is added to what was counted before.
        """
        families = {name: _valid(family) for name, family in snapshot.families.items()}
        for name, before in self.latest.families.items():
            if before.kind == "gauge":
                continue
            now = families.setdefault(name, before.without_values())
            if now.is_like(before):
                self._keep_sums(before, now)
        self.latest = Snapshot(families)
        while len(self._hidden) > MAX_HIDDEN:
            self._forget(next(iter(self._hidden)))

    def _keep_sums(self, before: Family, now: Family) -> None:
        hidden = self._hidden
        for values, value in before.values.items():
            key = before.name, values
            found = now.values.get(values)
            if found is None:
                now.values[values] = value
                hidden.setdefault(key)
                continue
            was_hidden = key in hidden
            if was_hidden:
                del hidden[key]
            if size_of(found) < size_of(value):
                if was_hidden:
                    earlier = self._earlier.setdefault(before.name, before.without_values())
                    earlier.add(values, value)
                else:
                    now.values[values] = value

    def _forget(self, key: tuple[str, tuple[str, ...]]) -> None:
        name, values = key
        self._hidden.pop(key, None)
        for families in (self.latest.families, self._earlier):
            family = families.get(name)
            if family is not None:
                family.values.pop(values, None)
                if not family.values:
                    del families[name]

    def add_to(self, families: _Families) -> None:
        """Add all sums to those of `families`."""
        _add_sums(families, self._earlier)
        _add_sums(families, self.latest.families)


class SnapshotMerger:
    """The metrics of several worker processes as one. For one thread at a time.

    Counters and histograms are added up; those of a worker that has ended are kept, so a sum never
    falls. A gauge has a label `worker` (if it has one already, that becomes `exported_worker`).
    """

    def __init__(self) -> None:
        self._ended: _Families = {}
        self._workers: dict[str, ProcessSums] = {}

    def update(self, worker: str, snapshot: Snapshot) -> None:
        """`snapshot` is the latest one of `worker`."""
        sums = self._workers.get(worker)
        if sums is None:
            sums = self._workers[worker] = ProcessSums()
        sums.take(snapshot)

    def retire(self, worker: str) -> None:
        """`worker` has ended; the next process of that name begins at 0."""
        sums = self._workers.pop(worker, None)
        if sums is None:
            return
        for name in sums.latest.families:
            if name in self._ended:
                self._ended[name] = self._ended.pop(name)  # the last one to be forgotten
        sums.add_to(self._ended)
        self._limit_ended()

    def _limit_ended(self) -> None:
        surplus = len(self._ended) - MAX_ENDED_FAMILIES
        if surplus <= 0:
            return
        shown = {name for sums in self._workers.values() for name in sums.latest.families}
        for name in [name for name in self._ended if name not in shown][:surplus]:
            del self._ended[name]

    def merged(self, labels: Mapping[str, str] = _NO_LABELS) -> Snapshot:
        """The sum of all. `labels`: the label `worker` of those that have another one than their
        name."""
        families: _Families = {}
        _add_sums(families, self._ended)
        labelled = sorted((labels.get(name, name), sums) for name, sums in self._workers.items())
        for label, sums in labelled:
            sums.add_to(families)
            _add_gauges(families, label, sums.latest)
        return Snapshot(dict(sorted(families.items())))


def merge_snapshots(snapshots: Mapping[str, Snapshot]) -> Snapshot:
    """The snapshots of some workers, by their labels, as one; see `SnapshotMerger`."""
    merger = SnapshotMerger()
    for worker, snapshot in snapshots.items():
        merger.update(worker, snapshot)
    return merger.merged()


def size_of(value: float | Histogram) -> float:
    """How much a counter, or a histogram, has counted."""
    return value.count if isinstance(value, Histogram) else value


def _valid(family: Family) -> Family:
    """A copy, without values that are no counts: functions of users may return anything."""
    copy = family.without_values()
    for values, value in family.values.items():
        if family.kind == "gauge" or 0 <= size_of(value) < math.inf:
            copy.values[values] = value
    return copy


def _add_sums(families: _Families, more: _Families) -> None:
    for name, family in more.items():
        if family.kind == "gauge":
            continue
        total = families.setdefault(name, family.without_values())
        if not total.is_like(family):
            continue  # workers of different versions: the first one counts
        for values, value in family.values.items():
            if values not in total.values and len(total.values) >= MAX_STATS:
                values = (OVERFLOW,) * len(family.labels)
            total.add(values, value)


def _add_gauges(families: _Families, worker: str, snapshot: Snapshot) -> None:
    for name, family in snapshot.families.items():
        if family.kind != "gauge":
            continue
        labels = tuple(
            f"exported_{label}" if label == WORKER_LABEL else label for label in family.labels
        )
        labelled = Family(name, "gauge", family.help, (*labels, WORKER_LABEL), family.divisor)
        gauges = families.setdefault(name, labelled)
        if gauges.is_like(labelled):
            gauges.values.update({(*key, worker): value for key, value in family.values.items()})
