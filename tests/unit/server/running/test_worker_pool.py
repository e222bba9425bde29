from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

import pytest

from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.worker_pool import WorkerPool
from pybrpc.testing.step_dispatcher import FakeClock, StepDispatcher
from tests.fakes.dispatchers import run_timers
from tests.fakes.worker_tasks import Job, LateAnswering, blocked, release


@contextlib.contextmanager
def running_pool(max_workers: int = 100) -> Iterator[tuple[WorkerPool, StepDispatcher]]:
    dispatcher = StepDispatcher(clock=FakeClock(0))
    pool = WorkerPool(dispatcher, max_workers)
    yield pool, dispatcher
    pool.close()
    pool.join()


def look_until(dispatcher: StepDispatcher, jobs: list[Job]) -> None:
    """Let the dispatcher look until all jobs have started at once."""
    for job in jobs:
        while not job.started.wait(0.02):
            run_timers(dispatcher)


def test_no_thread_before_the_first_task() -> None:
    with running_pool() as (pool, _):
        assert pool.worker_count == 0


def test_tasks_of_one_read_are_run_by_one_worker() -> None:
    with running_pool() as (pool, _):
        jobs = [Job() for _ in range(20)]
        pool.submit(list(jobs))
        for job in jobs:
            assert job.ended.wait(10)
        assert len({job.thread_name for job in jobs}) == 1
        assert pool.worker_count == 1


def test_tasks_run_in_the_order_in_which_they_came() -> None:
    order: list[int] = []

    class Numbered(Job):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def run(self, response_batch: ResponseBatch) -> None:
            order.append(self.number)
            super().run(response_batch)

    with running_pool() as (pool, _):
        jobs = [Numbered(number) for number in range(50)]
        for start in range(0, 50, 5):
            pool.submit(list(jobs[start : start + 5]))
        assert jobs[-1].ended.wait(10)
    assert order == list(range(50))


def test_idle_worker_is_woken_again() -> None:
    with running_pool() as (pool, dispatcher):
        names = set()
        for _ in range(20):
            job = Job()
            pool.submit([job])
            assert job.ended.wait(10)
            while not pool.idle_count:
                run_timers(dispatcher)
            names.add(job.thread_name)
        assert len(names) == 1


def test_task_behind_a_blocked_one_starts_after_a_check() -> None:
    with running_pool() as (pool, dispatcher):
        slow, fast = Job(may_end=False), Job()
        pool.submit([slow, fast])
        assert slow.started.wait(10)
        run_timers(dispatcher)
        assert fast.ended.wait(10)
        release([slow])


def test_later_task_behind_a_blocked_one_starts_after_a_check() -> None:
    with running_pool() as (pool, dispatcher):
        slow, fast = Job(may_end=False), Job()
        pool.submit([slow])
        assert slow.started.wait(10)
        pool.submit([fast])
        run_timers(dispatcher)
        assert fast.ended.wait(10)
        release([slow])


def test_check_with_an_empty_queue_lets_the_next_task_wake_another_worker() -> None:
    with running_pool() as (pool, dispatcher):
        slow, fast = Job(may_end=False), Job()
        pool.submit([slow])
        assert slow.started.wait(10)
        run_timers(dispatcher)
        pool.submit([fast])
        assert fast.ended.wait(10)
        release([slow])


def test_each_check_wakes_twice_as_many_workers_while_no_task_is_taken() -> None:
    with running_pool() as (pool, dispatcher):
        jobs = blocked(20)
        pool.submit(list(jobs))
        started = []
        for expected in (1, 2, 4, 8, 16, 20):
            for job in jobs[:expected]:
                assert job.started.wait(10)
            started.append(sum(job.started.is_set() for job in jobs))
            run_timers(dispatcher)
        assert started == [1, 2, 4, 8, 16, 20]
        release(jobs)


def test_queue_that_moves_wakes_no_worker() -> None:
    with running_pool() as (pool, dispatcher):
        jobs = [*(Job() for _ in range(5)), *blocked(3)]
        pool.submit(list(jobs))
        assert jobs[5].started.wait(10)
        run_timers(dispatcher)
        assert pool.worker_count == 1
        run_timers(dispatcher)
        assert jobs[6].started.wait(10)
        assert pool.worker_count == 2
        release(jobs)


def test_pool_runs_at_most_max_workers_at_once() -> None:
    with running_pool(max_workers=3) as (pool, dispatcher):
        jobs = blocked(5)
        pool.submit(list(jobs))
        look_until(dispatcher, jobs[:3])
        for _ in range(10):
            run_timers(dispatcher)
        assert pool.worker_count == 3
        assert not jobs[3].started.is_set()
        jobs[0].may_end.set()
        assert jobs[3].started.wait(10)
        release(jobs)


def test_dedicated_task_starts_at_once() -> None:
    with running_pool() as (pool, _):
        jobs = blocked(5)
        for job in jobs:
            pool.submit_dedicated(job)
        for job in jobs:
            assert job.started.wait(10)
        fast = Job()
        pool.submit([fast])
        assert fast.ended.wait(10)
        release(jobs)


def test_dedicated_task_waits_in_the_queue_when_no_more_workers_may_run() -> None:
    with running_pool(max_workers=1) as (pool, _):
        jobs = blocked(2)
        for job in jobs:
            pool.submit_dedicated(job)
        assert jobs[0].started.wait(10)
        assert list(pool.queue) == [jobs[1]]
        release(jobs)


def test_checks_end_when_there_is_nothing_to_watch() -> None:
    with running_pool() as (pool, dispatcher):
        job = Job()
        pool.submit([job])
        assert job.ended.wait(10)
        while run_timers(dispatcher):
            pass
        assert not dispatcher._timers


def test_response_in_front_of_a_blocked_task_is_written_by_a_check() -> None:
    with running_pool() as (pool, dispatcher):
        answering, slow = LateAnswering(), Job(may_end=False)
        pool.submit([answering, slow])
        assert slow.started.wait(10)
        assert not answering.written.is_set()
        run_timers(dispatcher)
        assert answering.written.is_set()
        release([slow])


def test_answer_is_written_when_the_queue_is_empty() -> None:
    with running_pool() as (pool, _):
        answering = LateAnswering()
        pool.submit([answering])
        assert answering.written.wait(10)


def test_task_that_raises_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    class Raising:
        def run(self, response_batch: ResponseBatch) -> None:
            raise SystemExit(1)

    with running_pool() as (pool, _), caplog.at_level(logging.ERROR, "pybrpc"):
        job = Job()
        pool.submit([Raising(), job])
        assert job.ended.wait(10)
    assert "raised in a worker" in caplog.text


def test_close_lets_queued_tasks_run() -> None:
    with running_pool() as (pool, _):
        slow, queued = Job(may_end=False), Job()
        pool.submit([slow, queued])
        assert slow.started.wait(10)
        pool.close()
        slow.may_end.set()
        assert queued.ended.wait(10)


def test_join_does_not_wait_for_a_worker_in_a_handler() -> None:
    with running_pool() as (pool, _):
        slow = Job(may_end=False)
        pool.submit([slow])
        assert slow.started.wait(10)
        pool.close()
        pool.join()
        assert not slow.ended.is_set()
        release([slow])


def test_idle_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybrpc.server.running.worker_pool.IDLE_S", 0.0)
    with running_pool() as (pool, _):
        for _ in range(20):
            job = Job()
            pool.submit([job])
            assert job.ended.wait(10)
            while pool.worker_count:
                threading.Event().wait(0.001)


def test_all_tasks_run_while_workers_start_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybrpc.server.running.worker_pool.IDLE_S", 0.0001)
    with running_pool(max_workers=4) as (pool, dispatcher):
        jobs = [Job() for _ in range(3000)]
        for start in range(0, 3000, 3):
            pool.submit(list(jobs[start : start + 3]))
            if start % 7 == 0:
                run_timers(dispatcher)
        for job in jobs:
            while not job.ended.wait(0.05):
                run_timers(dispatcher)


def test_dedicated_task_has_a_worker_to_itself() -> None:
    with running_pool() as (pool, _):
        (slow, slower), quick = blocked(2), Job()
        pool.submit_dedicated(slow)
        assert slow.started.wait(10)
        pool.submit_dedicated(slower)
        assert slower.started.wait(10)
        pool.submit([quick])
        assert quick.ended.wait(10)
        assert len({job.thread_name for job in (slow, slower, quick)}) == 3
        release([slow, slower])
        while pool.idle_count < 3:
            threading.Event().wait(0.001)
        again = Job()
        pool.submit_dedicated(again)
        assert again.ended.wait(10)
        assert pool.worker_count == 3, "an idle one was woken"


def test_dedicated_task_is_queued_when_no_more_workers_may_run() -> None:
    with running_pool(max_workers=1) as (pool, _):
        (slow,), late = blocked(1), Job()
        pool.submit_dedicated(slow)
        assert slow.started.wait(10)
        pool.submit_dedicated(late)
        assert repr(pool) == "<WorkerPool 1 workers of 1, 0 idle, 1 tasks waiting>"
        release([slow])
        assert late.ended.wait(10)
    assert repr(pool).endswith(", closed>")


def test_failure_to_start_a_thread_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with running_pool() as (pool, dispatcher):
        job = Job()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            pool.submit([job])
        assert (pool.worker_count, job.started.is_set()) == (0, False)
        assert "can't start a thread: can't start new thread" in caplog.text
        look_until(dispatcher, [job])
