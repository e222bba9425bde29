"""What the dispatcher runs itself of a WorkerPool's tasks, and what it leaves to workers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.inline_runner import MOST_TASKS
from pybrpc.server.running.worker_pool import WorkerPool
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.worker_tasks import Job, LateAnswering, release


class LendingDispatcher(StepDispatcher):
    """Keeps the errand that it was lent; the test says when it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.errands: list[object] = []

    def run_after_turn(self, task: object) -> bool:
        self.errands.append(task)
        return True

    def run_errands(self, is_relieved: Callable[[], bool] = lambda: False) -> None:
        errands, self.errands = self.errands, []
        for errand in errands:
            errand.run(is_relieved)  # type: ignore[attr-defined]


class Slow(Job):
    was_slow = False

    def note_slow(self) -> None:
        self.was_slow = True


@contextlib.contextmanager
def lending_pool(max_workers: int = 100) -> Iterator[tuple[WorkerPool, LendingDispatcher]]:
    dispatcher = LendingDispatcher()
    pool = WorkerPool(dispatcher, max_workers)
    yield pool, dispatcher
    pool.close()
    pool.join()


def test_quick_tasks_run_in_the_thread_of_the_dispatcher() -> None:
    with lending_pool() as (pool, dispatcher):
        jobs = [Job() for _ in range(3)]
        for job in jobs:
            pool.submit([job], are_quick=True)
        assert len(dispatcher.errands) == 1
        dispatcher.run_errands()
        assert {job.thread_name for job in jobs} == {threading.current_thread().name}
        assert pool.worker_count == 0


def test_tasks_that_are_not_quick_go_to_a_worker() -> None:
    with lending_pool() as (pool, dispatcher):
        job = Job()
        pool.submit([job])
        assert job.ended.wait(10)
        assert not dispatcher.errands


def test_many_tasks_go_to_a_worker_though_a_few_were_lent() -> None:
    with lending_pool() as (pool, dispatcher):
        jobs = [Job() for _ in range(MOST_TASKS + 1)]
        pool.submit(list(jobs[:1]), are_quick=True)
        pool.submit(list(jobs[1:]), are_quick=True)
        for job in jobs:
            assert job.ended.wait(10)
        dispatcher.run_errands()


def test_tasks_go_to_the_worker_that_is_at_the_queue() -> None:
    with lending_pool() as (pool, dispatcher):
        slow, quick = Job(may_end=False), Job()
        pool.submit([slow])
        assert slow.started.wait(10)
        pool.submit([quick], are_quick=True)
        assert not dispatcher.errands
        slow.may_end.set()
        assert quick.ended.wait(10)


def test_who_runs_tasks_in_place_counts_as_a_worker() -> None:
    with lending_pool(max_workers=1) as (pool, dispatcher):
        counts: list[int] = []

        class Counting(Job):
            def run(self, response_batch: ResponseBatch) -> None:
                counts.append(pool.worker_count)
                assert pool.spawn(None, 0) is None

        pool.submit([Counting()], are_quick=True)
        dispatcher.run_errands()
        assert counts == [1]
        assert pool.worker_count == 0


def test_without_room_for_one_more_tasks_wait_for_a_worker() -> None:
    with lending_pool(max_workers=1) as (pool, dispatcher):
        slow, quick = Job(may_end=False), Job()
        pool.submit([quick], are_quick=True)
        pool.submit_dedicated(slow)
        assert slow.started.wait(10)
        dispatcher.run_errands()
        assert not quick.ended.is_set()
        slow.may_end.set()
        assert quick.ended.wait(10)


def test_who_is_relieved_leaves_the_rest_and_says_what_was_slow() -> None:
    with lending_pool() as (pool, dispatcher):
        first, second = Slow(), Slow()
        pool.submit([first, second], are_quick=True)
        (errand,) = dispatcher.errands
        dispatcher.run_errands(first.ended.is_set)
        assert (first.was_slow, second.was_slow) == (True, False)
        assert not second.started.is_set()
        errand.hand_over()  # type: ignore[attr-defined]
        assert second.ended.wait(10)


@pytest.mark.parametrize("is_relieved", [True, False])
def test_answers_in_front_of_a_slow_task_are_written_when_it_is_handed_over(
    is_relieved: bool,
) -> None:
    with lending_pool() as (pool, dispatcher):
        answering, slow = LateAnswering(), Slow(may_end=False)
        pool.submit([answering, slow], are_quick=True)
        (errand,) = dispatcher.errands
        runner = threading.Thread(target=dispatcher.run_errands, args=(slow.started.is_set,))
        runner.start()
        assert slow.started.wait(10)
        assert not answering.written.is_set()
        if is_relieved:
            errand.hand_over()  # type: ignore[attr-defined]
            assert answering.written.is_set()
        release([slow])
        runner.join()
        assert answering.written.is_set()


def test_a_task_that_raises_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Job):
        def run(self, response_batch: ResponseBatch) -> None:
            raise SystemExit(1)

    with lending_pool() as (pool, dispatcher):
        job = Job()
        pool.submit([Raising(), job], are_quick=True)
        dispatcher.run_errands()
        assert job.ended.is_set()
    assert "raised in a worker" in caplog.text
