from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.worker_pool import WorkerPool
from pybrpc.testing.step_dispatcher import FakeClock, StepDispatcher
from tests.fakes.dispatchers import run_timers
from tests.fakes.worker_tasks import Job, JobInvoker, LateAnswering, blocked, release


@contextlib.contextmanager
def running_pool(max_workers: int = 100) -> Iterator[tuple[WorkerPool, StepDispatcher]]:
    dispatcher = StepDispatcher(clock=FakeClock(0))
    pool = WorkerPool(dispatcher, JobInvoker(), max_workers)
    yield pool, dispatcher
    pool.close()
    pool.join()


def submit(pool: WorkerPool, calls: list[Any]) -> None:
    """Submit calls of a connection of their own."""
    pool.submit(CallQueue(), calls)


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
        submit(pool, list(jobs))
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
            submit(pool, list(jobs[start : start + 5]))
        assert jobs[-1].ended.wait(10)
    assert order == list(range(50))


def test_idle_worker_is_woken_again() -> None:
    with running_pool() as (pool, dispatcher):
        names = set()
        for _ in range(20):
            job = Job()
            submit(pool, [job])
            assert job.ended.wait(10)
            while not pool.idle_count:
                run_timers(dispatcher)
            names.add(job.thread_name)
        assert len(names) == 1


def test_task_behind_a_blocked_one_starts_after_a_check() -> None:
    with running_pool() as (pool, dispatcher):
        slow, fast = Job(may_end=False), Job()
        submit(pool, [slow, fast])
        assert slow.started.wait(10)
        run_timers(dispatcher)
        assert fast.ended.wait(10)
        release([slow])


def test_later_task_behind_a_blocked_one_starts_after_a_check() -> None:
    with running_pool() as (pool, dispatcher):
        slow, fast = Job(may_end=False), Job()
        submit(pool, [slow])
        assert slow.started.wait(10)
        submit(pool, [fast])
        run_timers(dispatcher)
        assert fast.ended.wait(10)
        release([slow])


def test_check_with_an_empty_queue_lets_the_next_task_wake_another_worker() -> None:
    with running_pool() as (pool, dispatcher):
        slow, fast = Job(may_end=False), Job()
        submit(pool, [slow])
        assert slow.started.wait(10)
        run_timers(dispatcher)
        submit(pool, [fast])
        assert fast.ended.wait(10)
        release([slow])


def test_each_check_wakes_twice_as_many_workers_while_no_task_is_taken() -> None:
    with running_pool() as (pool, dispatcher):
        jobs = blocked(20)
        submit(pool, list(jobs))
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
        submit(pool, list(jobs))
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
        submit(pool, list(jobs))
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
            pool.submit_dedicated(CallQueue(), job)
        for job in jobs:
            assert job.started.wait(10)
        fast = Job()
        submit(pool, [fast])
        assert fast.ended.wait(10)
        release(jobs)


def test_dedicated_task_waits_in_the_queue_when_no_more_workers_may_run() -> None:
    with running_pool(max_workers=1) as (pool, _):
        jobs = blocked(2)
        for job in jobs:
            pool.submit_dedicated(CallQueue(), job)
        assert jobs[0].started.wait(10)
        assert pool.scheduler.waiting() == 1
        release(jobs)


def test_checks_end_when_there_is_nothing_to_watch() -> None:
    with running_pool() as (pool, dispatcher):
        job = Job()
        submit(pool, [job])
        assert job.ended.wait(10)
        while run_timers(dispatcher):
            pass
        assert not dispatcher._timers


def test_response_in_front_of_a_blocked_task_is_written_by_a_check() -> None:
    with running_pool() as (pool, dispatcher):
        answering, slow = LateAnswering(), Job(may_end=False)
        submit(pool, [answering, slow])
        assert slow.started.wait(10)
        assert not answering.written.is_set()
        run_timers(dispatcher)
        assert answering.written.is_set()
        release([slow])


def test_answer_is_written_when_the_queue_is_empty() -> None:
    with running_pool() as (pool, _):
        answering = LateAnswering()
        submit(pool, [answering])
        assert answering.written.wait(10)


def test_task_that_raises_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Job):
        def run(self, response_batch: ResponseBatch) -> None:
            raise SystemExit(1)

    with running_pool() as (pool, _), caplog.at_level(logging.ERROR, "pybrpc"):
        job = Job()
        submit(pool, [Raising(), job])
        assert job.ended.wait(10)
    assert "pybrpc-worker-1 was interrupted" in caplog.text


def test_close_lets_queued_tasks_run() -> None:
    with running_pool() as (pool, _):
        slow, queued = Job(may_end=False), Job()
        submit(pool, [slow, queued])
        assert slow.started.wait(10)
        pool.close()
        slow.may_end.set()
        assert queued.ended.wait(10)


def test_join_does_not_wait_for_a_worker_in_a_handler() -> None:
    with running_pool() as (pool, _):
        slow = Job(may_end=False)
        submit(pool, [slow])
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
            submit(pool, [job])
            assert job.ended.wait(10)
            while pool.worker_count:
                threading.Event().wait(0.001)


def test_all_tasks_run_while_workers_start_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybrpc.server.running.worker_pool.IDLE_S", 0.0001)
    with running_pool(max_workers=4) as (pool, dispatcher):
        jobs = [Job() for _ in range(3000)]
        for start in range(0, 3000, 3):
            submit(pool, list(jobs[start : start + 3]))
            if start % 7 == 0:
                run_timers(dispatcher)
        for job in jobs:
            while not job.ended.wait(0.05):
                run_timers(dispatcher)


def test_dedicated_task_has_a_worker_to_itself() -> None:
    with running_pool() as (pool, _):
        (slow, slower), quick = blocked(2), Job()
        pool.submit_dedicated(CallQueue(), slow)
        assert slow.started.wait(10)
        pool.submit_dedicated(CallQueue(), slower)
        assert slower.started.wait(10)
        submit(pool, [quick])
        assert quick.ended.wait(10)
        assert len({job.thread_name for job in (slow, slower, quick)}) == 3
        release([slow, slower])
        while pool.idle_count < 3:
            threading.Event().wait(0.001)
        again = Job()
        pool.submit_dedicated(CallQueue(), again)
        assert again.ended.wait(10)
        assert pool.worker_count == 3, "an idle one was woken"


def test_dedicated_task_is_queued_when_no_more_workers_may_run() -> None:
    with running_pool(max_workers=1) as (pool, _):
        (slow,), late = blocked(1), Job()
        pool.submit_dedicated(CallQueue(), slow)
        assert slow.started.wait(10)
        pool.submit_dedicated(CallQueue(), late)
        assert repr(pool) == "<WorkerPool 1 workers of 1, 0 idle, 1 calls waiting>"
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
            submit(pool, [job])
        assert (pool.worker_count, job.started.is_set()) == (0, False)
        assert "can't start a thread for handlers: can't start new thread" in caplog.text
        look_until(dispatcher, [job])


@contextlib.contextmanager
def no_new_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        yield


@pytest.mark.python_only
def test_calls_are_refused_when_no_worker_can_be_started_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pybrpc.server.running.thread_shortage.LASTS_AFTER_S", 0.0)
    monkeypatch.setattr("pybrpc.server.running.worker_pool.MAX_REFUSALS", 4)
    with running_pool() as (pool, dispatcher):
        jobs = [Job() for _ in range(10)]
        with no_new_threads(monkeypatch):
            pool.submit_dedicated(CallQueue(), jobs[0])
            submit(pool, list(jobs[1:]))
            refused = []
            while pool.scheduler.waiting():
                run_timers(dispatcher)
                refused.append(sum(job.refused is not None for job in jobs))
        assert refused == [4, 8, 10]
        assert {job.refused.name for job in jobs if job.refused is not None} == {"ELIMIT"}
        assert not any(job.started.is_set() for job in jobs)
        threading.Event().wait(0.005)  # The pause before the next try.
        late = Job()
        submit(pool, [late])
        look_until(dispatcher, [late])


@pytest.mark.python_only
def test_calls_wait_for_the_workers_there_are_when_no_more_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pybrpc.server.running.thread_shortage.LASTS_AFTER_S", 0.0)
    with running_pool() as (pool, dispatcher):
        busy, waiting = Job(may_end=False), Job()
        submit(pool, [busy])
        assert busy.started.wait(10)
        with no_new_threads(monkeypatch):
            submit(pool, [waiting])
            for _ in range(20):
                run_timers(dispatcher)
        assert waiting.refused is None
        release([busy])
        assert waiting.ended.wait(10)


def test_slow_call_of_one_connection_delays_no_other_connection_twice() -> None:
    with running_pool(max_workers=1) as (pool, _):
        first, *greedy = blocked(20)
        for job in greedy:
            job.mean_s = 1.0
        queue, polite = CallQueue(), Job()
        pool.submit(queue, [first])
        assert first.started.wait(10)
        pool.submit(queue, list(greedy))
        pool.submit(CallQueue(), [polite])
        release([first, greedy[0]])
        assert polite.ended.wait(10)
        assert not greedy[2].started.is_set()
        release(greedy)
