"""WorkerGroup: its start, the replacement of its workers, and its stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.metrics.snapshot import Family, Snapshot
from pybrpc.server import ServerStatistics
from pybrpc.server.workers import worker_group as group_module
from pybrpc.server.workers.messages import WorkerSpec
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import PageAnswer
from pybrpc.server.workers.settings import SupervisorSettings
from pybrpc.server.workers.supervisor_link import EXIT_S
from pybrpc.server.workers.worker_directory import WorkerDirectory
from pybrpc.server.workers.worker_group import WorkerGroup
from pybrpc.server.workers.worker_slot import STABLE_AFTER_S
from pybrpc.testing.step_dispatcher import FakeClock, StepDispatcher
from tests.fakes.dispatchers import run_timers
from tests.fakes.workers import FakeWorker

GRACE_S = 7.0


class FakeListener:
    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return 100 + self.number


class FakeListeners:
    """Notes the slots that are refused."""

    def __init__(self) -> None:
        self.refused: list[int] = []
        self.is_closed = False

    def sockets_of(self, number: int) -> list[FakeListener]:
        return [FakeListener(number)]

    own_sockets_of = sockets_of

    def refuse(self, number: int) -> None:
        self.refused.append(number)

    def admit(self, number: int) -> None:
        if number in self.refused:
            self.refused.remove(number)

    def close(self) -> None:
        self.is_closed = True


class FakeOrphanWatch:
    """Notes the workers that it watches."""

    orphan_fd = 9

    def __init__(self, dispatcher: object, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self.watched: dict[int, int] = {}
        self.state = "new"

    def start(self) -> None:
        self.state = "started"

    def watch(self, pid: int, listener: FakeListener) -> None:
        assert self.state == "started"
        self.watched[pid] = listener.number

    def forget(self, pid: int) -> None:
        del self.watched[pid]

    def close(self) -> None:
        assert not self.watched
        self.state = "closed"


class Stage:
    """A worker group with some slots, and all workers that it has made."""

    def __init__(
        self, patch: pytest.MonkeyPatch, slots: int = 2, error: Exception | None = None
    ) -> None:
        self.error = error
        self.workers: list[FakeWorker] = []
        self.specs: list[WorkerSpec] = []
        self.listeners, self.dispatcher = FakeListeners(), StepDispatcher(clock=FakeClock(0))
        settings = SupervisorSettings("app:make", slots, GRACE_S, 60.0, "asyncio", "info")
        patch.setattr(group_module, "WorkerProcess", self._make)
        patch.setattr(group_module, "OrphanWatch", FakeOrphanWatch)
        self.group = WorkerGroup(settings, self.listeners, self.dispatcher)  # type: ignore[arg-type]
        self.group.start()

    def _make(
        self,
        make_spec: Callable[[int, int], WorkerSpec],
        directory: WorkerDirectory,
        dispatcher: object,
        user: Any,
        settings: SupervisorSettings,
    ) -> FakeWorker:
        if self.error is not None:
            raise self.error
        self.specs.append(make_spec(8, -1))
        number = self.specs[-1].number
        self.workers.append(FakeWorker(number, len(self.workers), user))
        return self.workers[-1]

    @property
    def orphans(self) -> FakeOrphanWatch:
        return self.group._orphans  # type: ignore[return-value]

    def serve(self) -> list[FakeWorker]:
        """All workers that are starting serve. Returns them."""
        starting = [worker for worker in self.workers if worker.state == "starting"]
        for worker in starting:
            worker.serve()
        return starting


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def test_worker_gets_its_spec(stage: Stage) -> None:
    assert [(spec.number, spec.listener_fd, spec.control_fd) for spec in stage.specs] == [
        (0, 100, 8),
        (1, 101, 8),
    ]
    spec = stage.specs[0]
    assert (spec.target, spec.grace_s, spec.loop, spec.log_level) == (
        "app:make",
        GRACE_S,
        "asyncio",
        "info",
    )
    assert spec.orphan_fd == FakeOrphanWatch.orphan_fd
    assert spec.sys_path == WorkerDirectory().sys_path


def test_group_has_started_once_all_workers_serve(stage: Stage) -> None:
    stage.workers[1].serve()
    assert not stage.group.started.is_set
    stage.workers[0].serve()
    assert stage.group.started.is_set
    assert stage.group.failure == ""


def test_group_stops_when_a_worker_can_not_start(stage: Stage) -> None:
    stage.workers[0].serve()
    stage.workers[1].die()
    assert stage.group.failure == "worker 1 could not start: killed by SIGKILL"
    assert stage.workers[0].stops == [0.0]
    assert not stage.group.stopped.is_set
    stage.workers[0].die()
    assert stage.group.started.is_set
    assert stage.group.stopped.is_set
    assert stage.listeners.is_closed


def test_stop_before_all_serve_is_a_failure(stage: Stage) -> None:
    stage.group.stop(3.0)
    assert stage.group.failure == "it was stopped before all workers served"
    for worker in stage.workers:
        worker.die()
    assert stage.group.started.is_set


def test_group_has_stopped_when_all_workers_have_ended(stage: Stage) -> None:
    first, second = stage.serve()
    stage.group.stop(3.0)
    assert (first.stops, second.stops) == ([3.0], [3.0])
    assert stage.listeners.is_closed
    first.die()
    assert not stage.group.stopped.is_set
    second.die()
    assert stage.group.stopped.is_set
    assert (stage.group.failure, len(stage.workers)) == ("", 2)


def test_workers_are_replaced_one_by_one(stage: Stage) -> None:
    olds = stage.serve()
    stage.group.restart()
    assert len(stage.workers) == 3, "the first of the new ones alone"
    for number, old in enumerate(olds):
        (new,) = stage.serve()
        assert (new.number, old.stops) == (number, [GRACE_S])
        assert [each.stops for each in olds[number + 1 :]] == [[]] * (1 - number)
        old.die()
    assert len(stage.workers) == 4
    assert stage.listeners.refused == []
    assert stage.group.statistics().deaths == 0


def test_restart_does_nothing_during_the_stop(stage: Stage) -> None:
    stage.serve()
    stage.group.stop(3.0)
    stage.group.restart()
    assert len(stage.workers) == 2


def test_restart_before_all_serve_is_made_when_they_do(stage: Stage) -> None:
    """The workers may have imported an older release."""
    for _ in range(3):
        stage.group.restart()
    assert len(stage.workers) == 2
    olds = stage.serve()
    for old in olds:
        stage.serve()
        old.die()
    assert len(stage.workers) == 4
    assert all(old.stops == [GRACE_S] for old in olds)


@pytest.mark.parametrize("error", [OSError("no processes"), TypeError("not JSON")])
def test_start_that_raises_fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    stage = Stage(monkeypatch, error=error)
    assert stage.group.failure == f"worker 0 could not start: {type(error).__name__}: {error}"
    assert stage.group.started.is_set
    assert stage.group.stopped.is_set
    assert stage.listeners.is_closed
    assert stage.orphans.state == "closed"


def test_workers_are_watched_from_their_start_to_their_end(stage: Stage) -> None:
    assert stage.orphans.limit_s == GRACE_S + EXIT_S
    stage.serve()
    assert stage.orphans.watched == {0: 0, 1: 1}
    stage.workers[1].die()
    assert stage.orphans.watched == {0: 0}
    run_timers(stage.dispatcher)
    assert stage.orphans.watched == {0: 0, 2: 1}
    stage.group.stop(0.0)
    assert stage.orphans.state == "started"
    for worker in (stage.workers[0], stage.workers[2]):
        worker.die()
    assert stage.orphans.state == "closed"


def test_workers_stay_when_the_first_can_not_be_replaced(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    olds = stage.serve()
    stage.group.restart()
    stage.workers[-1].die()
    assert "worker 0 was not replaced, nor will others be: killed by SIGKILL" in caplog.text
    assert [old.stops for old in olds] == [[], []]
    assert len(stage.workers) == 3


@pytest.mark.parametrize("serves", [True, False])
def test_stop_ends_a_replacement(
    stage: Stage, serves: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = stage.serve()
    stage.group.restart()
    new = stage.workers[-1]
    if serves:
        new.serve()
    stage.group.stop(3.0)
    for worker in (first, second, new):
        worker.die()
    assert stage.group.stopped.is_set
    assert len(stage.workers) == 3
    assert "was not replaced" not in caplog.text


@pytest.mark.parametrize("served_s", [0.0, STABLE_AFTER_S])
def test_slot_of_a_dead_worker_is_refused_until_the_next_one_serves(
    stage: Stage, served_s: float
) -> None:
    stage.serve()
    stage.workers[1].served_s = served_s
    stage.workers[1].die()
    assert stage.listeners.refused == [1]
    run_timers(stage.dispatcher)
    assert stage.listeners.refused == [1]
    (new,) = stage.serve()
    assert stage.listeners.refused == []
    assert new.number == 1
    assert stage.group.statistics().deaths == 1


@pytest.mark.parametrize(("served_s", "refused"), [(0.0, [0]), (STABLE_AFTER_S, [])])
def test_only_slot_keeps_its_queue_unless_its_worker_dies_early(
    monkeypatch: pytest.MonkeyPatch, served_s: float, refused: list[int]
) -> None:
    stage = Stage(monkeypatch, slots=1)
    stage.serve()
    stage.workers[0].served_s = served_s
    stage.workers[0].die()
    assert stage.listeners.refused == refused


def test_statistics_include_workers_that_have_ended(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    for worker in stage.workers:
        worker.statistics = ServerStatistics(requests=3, running=1)
    stage.workers[0].die()
    found = stage.group.statistics()
    assert (found.total.requests, found.total.running, found.deaths) == (6, 1, 1)
    assert [worker.pid for worker in found.workers] == [1]
    stage.group.log_statistics()
    assert "6 requests" in caplog.text


def test_last_metrics_of_a_worker_are_counted(stage: Stage) -> None:
    stage.serve()
    channel = PageChannel()
    family = Family("calls", "counter", "Calls", values={(): 3})
    channel.last_answer = PageAnswer(200, body=Snapshot({"calls": family}).to_bytes())
    stage.workers[0].pages = channel
    stage.workers[0].die()
    assert stage.group.metrics.merged({}, 0).families["calls"].values == {(): 3}
    channel.close()


def test_drain_is_told_to_all_workers_and_to_those_that_start_later(stage: Stage) -> None:
    first, second = stage.serve()
    stage.group.drain()
    assert (first.drains, second.drains, first.stops) == (1, 1, [])
    stage.group.restart()
    assert len(stage.workers) == 2, "no worker is replaced any more"
    second.die()
    run_timers(stage.dispatcher)
    (late,) = stage.serve()
    assert (late.number, late.drains, stage.group.is_stopping) == (1, 1, False)


def test_restart_is_told_at_its_begin_and_its_end(stage: Stage) -> None:
    told: list[bool] = []
    stage.group.on_restart = told.append
    olds = stage.serve()
    stage.group.restart()
    for old in olds:
        assert told == [True]
        stage.serve()
        old.die()
    assert told == [True, False]


def test_end_of_a_restart_that_fails_is_told(stage: Stage) -> None:
    told: list[bool] = []
    stage.group.on_restart = told.append
    stage.serve()
    stage.group.restart()
    stage.group.on_replaced(stage.group._slots[0], "can't serve")
    assert told == [True, False]
