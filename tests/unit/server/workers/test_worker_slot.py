"""A place for a worker: who has it when workers serve, die, leave and are replaced."""

from __future__ import annotations

import pytest

from pybrpc.server.workers.worker_slot import STABLE_AFTER_S, WorkerSlot
from pybrpc.testing.step_dispatcher import FakeClock, StepDispatcher
from tests.fakes.dispatchers import run_timers
from tests.fakes.workers import FakeWorker


class Stage:
    """A place, its PlaceUser, and the clock."""

    def __init__(self) -> None:
        self.dispatcher = StepDispatcher(clock=FakeClock(0))
        self.made: list[FakeWorker] = []
        self.told: list[str] = []
        self.can_spawn = True
        self.place = WorkerSlot(0, self.make_worker, self.dispatcher, self, 7.0)

    def make_worker(self, number: int, user: object) -> FakeWorker:
        if not self.can_spawn:
            raise BlockingIOError("Resource temporarily unavailable")
        self.made.append(FakeWorker(number, len(self.made)))
        return self.made[-1]

    def on_worker_started(self, worker: FakeWorker) -> None:
        self.told.append(f"started {worker.pid}")

    def on_worker_ended(self, place: WorkerSlot, worker: FakeWorker) -> None:
        self.told.append(f"ended {worker.pid}")

    def on_serving(self, place: WorkerSlot) -> None:
        self.told.append("serving")

    def on_replaced(self, place: WorkerSlot, failure: str) -> None:
        self.told.append(f"replaced {failure}".strip())

    def serve(self) -> FakeWorker:
        """The last one that was made serves."""
        self.place.on_serving(self.made[-1])
        return self.made[-1]

    def pauses(self) -> int:
        """How many starts wait for their time; they are made."""
        return run_timers(self.dispatcher)


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.place.start()
    return made


def test_replacement_serves_before_the_old_one_is_told_to_stop(stage: Stage) -> None:
    old = stage.serve()
    stage.place.replace()
    assert old.stops == []
    new = stage.serve()
    assert (old.stops, stage.place.worker) == ([7.0], new)
    assert "replaced" not in stage.told
    stage.place.on_ended(old)
    assert stage.told[-2:] == ["ended 0", "replaced"]
    assert stage.pauses() == 0


def test_replacement_that_dies_leaves_the_old_one(stage: Stage) -> None:
    old = stage.serve()
    stage.place.replace()
    stage.place.on_ended(stage.made[1])
    assert stage.told[-1] == "replaced killed by SIGKILL"
    assert (old.stops, stage.place.workers) == ([], [old])


def test_replacement_that_can_not_be_spawned_leaves_the_old_one(stage: Stage) -> None:
    old = stage.serve()
    stage.can_spawn = False
    stage.place.replace()
    assert stage.told[-1] == "replaced Resource temporarily unavailable"
    assert stage.place.workers == [old]


def test_old_one_that_dies_while_its_successor_starts(stage: Stage) -> None:
    stage.place.replace()
    stage.place.on_ended(stage.made[0])
    assert stage.pauses() == 1
    assert len(stage.made) == 2, "the successor is enough"
    assert stage.place.worker is None
    new = stage.serve()
    assert stage.place.worker is new
    assert stage.told[-2:] == ["replaced", "serving"]


def test_both_die(stage: Stage) -> None:
    stage.place.replace()
    stage.place.on_ended(stage.made[0])
    stage.place.on_ended(stage.made[1])
    assert len(stage.made) == 3
    assert stage.place.worker is stage.made[2]
    stage.pauses()
    assert len(stage.made) == 3


def test_pause_grows_until_one_has_served_for_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses_s: list[float] = []
    monkeypatch.setattr(stage.place, "_start_later", pauses_s.append)
    for served_s in (0, 0, 1, STABLE_AFTER_S, STABLE_AFTER_S, 0):
        worker = stage.made[-1]
        worker.served_s = served_s
        stage.place.on_ended(worker)
        stage.place.start()
    first, second, third, *steady, again = pauses_s
    assert 0 < first < second < third
    assert steady == [0, 0]
    assert again <= 0.1


def test_one_that_leaves_is_followed_at_once_and_may_take_its_time(stage: Stage) -> None:
    old = stage.serve()
    old.served_s = STABLE_AFTER_S
    stage.place.on_leaving(old)
    stage.pauses()
    new = stage.serve()
    assert stage.place.workers == [new, old]
    stage.place.on_ended(old)
    assert stage.place.workers == [new]
    assert "replaced" not in stage.told
    assert old.stops == []


def test_stop_is_told_to_all_and_nobody_follows(stage: Stage) -> None:
    old = stage.serve()
    stage.place.replace()
    stage.place.stop(3.0)
    assert [worker.stops for worker in stage.made] == [[3.0], [3.0]]
    stage.place.on_ended(old)
    stage.place.on_ended(stage.made[1])
    assert stage.pauses() == 0
    assert (len(stage.made), stage.place.workers) == (2, [])


def test_spawning_is_tried_again(stage: Stage) -> None:
    stage.can_spawn = False
    stage.place.on_ended(stage.serve())
    assert stage.pauses() == 1
    assert stage.pauses() == 1
    stage.can_spawn = True
    assert stage.pauses() == 1
    assert stage.place.worker is stage.made[1]
