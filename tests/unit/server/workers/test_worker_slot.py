"""WorkerSlot: the worker of a slot when workers serve, die, stop and are replaced."""

from __future__ import annotations

import pytest

from pybrpc.server.workers.worker_slot import STABLE_AFTER_S, WorkerSlot
from pybrpc.testing.step_dispatcher import FakeClock, StepDispatcher
from tests.fakes.dispatchers import run_timers
from tests.fakes.workers import FakeWorker


class Stage:
    """A slot, its SlotUser, and the clock."""

    def __init__(self) -> None:
        self.dispatcher = StepDispatcher(clock=FakeClock(0))
        self.made: list[FakeWorker] = []
        self.told: list[str] = []
        self.vacant: list[float] = []
        self.can_spawn = True
        self.slot = WorkerSlot(0, self.make_worker, self.dispatcher, self, 7.0)

    def make_worker(self, number: int, user: object) -> FakeWorker:
        if not self.can_spawn:
            raise BlockingIOError("Resource temporarily unavailable")
        self.made.append(FakeWorker(number, len(self.made)))
        return self.made[-1]

    def on_worker_started(self, worker: FakeWorker) -> None:
        self.told.append(f"started {worker.pid}")

    def on_worker_ended(self, slot: WorkerSlot, worker: FakeWorker) -> None:
        self.told.append(f"ended {worker.pid}")

    def on_serving(self, slot: WorkerSlot) -> None:
        self.told.append("serving")

    def on_start_failed(self, slot: WorkerSlot, reason: str) -> None:
        self.told.append(f"failed {reason}")

    def on_vacant(self, slot: WorkerSlot, pause_s: float) -> None:
        self.vacant.append(pause_s)

    def on_replaced(self, slot: WorkerSlot, failure: str) -> None:
        self.told.append(f"replaced {failure}".strip())

    def serve(self) -> FakeWorker:
        """The worker that was made last serves."""
        self.slot.on_serving(self.made[-1])
        return self.made[-1]

    def pauses(self) -> int:
        """Make the starts that wait for their time. Returns how many there were."""
        return run_timers(self.dispatcher)


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.slot.start()
    return made


def test_replacement_serves_before_the_old_worker_is_stopped(stage: Stage) -> None:
    old = stage.serve()
    stage.slot.replace()
    assert old.stops == []
    new = stage.serve()
    assert (old.stops, stage.slot.worker) == ([7.0], new)
    assert "replaced" not in stage.told
    stage.slot.on_ended(old)
    assert stage.told[-2:] == ["ended 0", "replaced"]
    assert stage.pauses() == 0


def test_old_worker_stays_when_its_replacement_dies(stage: Stage) -> None:
    old = stage.serve()
    stage.slot.replace()
    stage.slot.on_ended(stage.made[1])
    assert stage.told[-1] == "replaced killed by SIGKILL"
    assert (old.stops, stage.slot.workers) == ([], [old])


def test_old_worker_stays_when_its_replacement_can_not_be_spawned(stage: Stage) -> None:
    old = stage.serve()
    stage.can_spawn = False
    stage.slot.replace()
    assert stage.told[-1] == "replaced BlockingIOError: Resource temporarily unavailable"
    assert stage.slot.workers == [old]


def test_successor_takes_over_when_the_old_worker_dies_early(stage: Stage) -> None:
    stage.slot.replace()
    stage.slot.on_ended(stage.made[0])
    assert stage.pauses() == 1
    assert len(stage.made) == 2, "the successor is enough"
    assert stage.slot.worker is None
    new = stage.serve()
    assert stage.slot.worker is new
    assert stage.told[-2:] == ["replaced", "serving"]


def test_slot_starts_one_worker_after_both_have_died(stage: Stage) -> None:
    stage.slot.replace()
    stage.slot.on_ended(stage.made[0])
    stage.slot.on_ended(stage.made[1])
    assert len(stage.made) == 3
    assert stage.slot.worker is stage.made[2]
    stage.pauses()
    assert len(stage.made) == 3


def test_pause_grows_until_a_worker_has_served_for_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses_s: list[float] = []
    monkeypatch.setattr(
        stage.slot, "_start_later", lambda pause_s, is_refusing: pauses_s.append(pause_s)
    )
    for served_s in (0, 0, 1, STABLE_AFTER_S, STABLE_AFTER_S, 0):
        worker = stage.made[-1]
        worker.served_s = served_s
        stage.slot.on_ended(worker)
        stage.slot.start()
    first, second, third, *steady, again = pauses_s
    assert 0 < first < second < third
    assert steady == [0, 0]
    assert again <= 0.1


def test_worker_that_stops_by_itself_is_replaced_at_once(stage: Stage) -> None:
    old = stage.serve()
    old.served_s = STABLE_AFTER_S
    stage.slot.on_own_stop(old)
    stage.pauses()
    new = stage.serve()
    assert stage.slot.workers == [new, old]
    stage.slot.on_ended(old)
    assert stage.slot.workers == [new]
    assert "replaced" not in stage.told
    assert old.stops == []


def test_stop_reaches_all_workers_and_starts_none(stage: Stage) -> None:
    old = stage.serve()
    stage.slot.replace()
    stage.slot.stop(3.0)
    assert [worker.stops for worker in stage.made] == [[3.0], [3.0]]
    stage.slot.on_ended(old)
    stage.slot.on_ended(stage.made[1])
    assert stage.pauses() == 0
    assert (len(stage.made), stage.slot.workers) == (2, [])


def test_spawning_is_tried_again(stage: Stage) -> None:
    stage.can_spawn = False
    stage.slot.on_ended(stage.serve())
    assert stage.pauses() == 1
    assert stage.pauses() == 1
    stage.can_spawn = True
    assert stage.told.count("failed BlockingIOError: Resource temporarily unavailable") == 2
    assert stage.pauses() == 1
    assert stage.slot.worker is stage.made[1]


def test_slot_is_vacant_from_a_death_to_the_next_start(stage: Stage) -> None:
    worker = stage.serve()
    stage.slot.on_ended(worker)
    assert len(stage.vacant) == 1
    assert stage.vacant[0] > 0
    stage.pauses()
    stage.serve().served_s = STABLE_AFTER_S
    stage.slot.on_ended(stage.made[-1])
    assert stage.vacant[1:] == [0.0]


def test_slot_is_not_vacant_while_a_successor_starts(stage: Stage) -> None:
    """It may listen already."""
    worker = stage.serve()
    stage.slot.replace()
    stage.slot.on_ended(worker)
    assert stage.vacant == []


def test_connections_wait_after_an_own_stop_but_not_in_a_loop_of_them(stage: Stage) -> None:
    stage.slot.on_own_stop(stage.serve())
    assert stage.vacant == []
    stage.pauses()
    stage.slot.on_own_stop(stage.serve())
    assert len(stage.vacant) == 1


def test_any_error_of_a_start_is_tried_again(stage: Stage) -> None:
    """As a TypeError of `json`: the slot must not be lost."""
    stage.slot.on_ended(stage.serve())
    make_worker = stage.slot._make_worker

    def fail(number: int, user: object) -> FakeWorker:
        raise TypeError("not JSON")

    stage.slot._make_worker = fail  # type: ignore[assignment]
    assert stage.pauses() == 1
    assert stage.told[-1] == "failed TypeError: not JSON"
    stage.slot._make_worker = make_worker
    assert stage.pauses() == 1
    assert stage.slot.worker is stage.made[1]
