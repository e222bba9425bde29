"""InlineRunner: which tasks run in the thread that polls, and which in a worker."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.rpc import serving
from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running import inline_runner
from pybrpc.server.running.inline_runner import MAX_CALLS
from pybrpc.server.running.worker_pool import WorkerPool
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from tests.fakes.worker_tasks import Job, JobInvoker, LateAnswering, release


class KeepingDispatcher(StepDispatcher):
    """Keeps inline tasks until the test runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.inline_tasks: list[object] = []

    def run_after_turn(self, task: object) -> bool:
        self.inline_tasks.append(task)
        return True

    def run_inline_tasks(self, is_handed_over: Callable[[], bool] = lambda: False) -> None:
        tasks, self.inline_tasks = self.inline_tasks, []
        for task in tasks:
            task.run(is_handed_over)  # type: ignore[attr-defined]


class Slow(Job):
    was_slow = False

    def note_slow(self) -> None:
        self.was_slow = True


@contextlib.contextmanager
def keeping_pool(max_workers: int = 100) -> Iterator[tuple[WorkerPool, KeepingDispatcher]]:
    dispatcher = KeepingDispatcher()
    pool = WorkerPool(dispatcher, JobInvoker(), max_workers)
    yield pool, dispatcher
    pool.close()
    pool.join()


def submit(pool: WorkerPool, calls: list[Any], are_quick: bool = False) -> None:
    """Submit calls of a connection of their own."""
    pool.submit(CallQueue(), calls, are_quick)


def test_quick_tasks_run_in_the_thread_of_the_dispatcher() -> None:
    with keeping_pool() as (pool, dispatcher):
        jobs = [Job() for _ in range(3)]
        for job in jobs:
            submit(pool, [job], are_quick=True)
        assert len(dispatcher.inline_tasks) == 1
        dispatcher.run_inline_tasks()
        assert {job.thread_name for job in jobs} == {threading.current_thread().name}
        assert pool.worker_count == 0


def test_more_is_read_before_the_rest_of_many_tasks_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline_runner, "INLINE_S", -1.0)
    with keeping_pool() as (pool, dispatcher):
        jobs = [Job() for _ in range(3)]
        submit(pool, list(jobs), are_quick=True)
        for number in (1, 2, 3):
            dispatcher.run_inline_tasks()
            assert sum(job.ended.is_set() for job in jobs) == number
            dispatcher.run_until_idle()
        assert not dispatcher.inline_tasks
        assert {job.thread_name for job in jobs} == {threading.current_thread().name}


def test_rest_of_the_tasks_goes_to_a_worker_if_no_thread_stands_by_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inline_runner, "INLINE_S", -1.0)
    with keeping_pool() as (pool, dispatcher):
        first, second = Job(), Job()
        submit(pool, [first, second], are_quick=True)
        dispatcher.run_inline_tasks()
        monkeypatch.setattr(KeepingDispatcher, "run_after_turn", lambda *_: False)
        dispatcher.run_until_idle()
        assert second.ended.wait(10)
        assert second.thread_name.startswith("pybrpc-worker")


def test_all_tasks_run_at_once_if_no_turn_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DispatcherClosedError("the test says so")

    monkeypatch.setattr(inline_runner, "INLINE_S", -1.0)
    with keeping_pool() as (pool, dispatcher):
        jobs = [Job() for _ in range(3)]
        submit(pool, list(jobs), are_quick=True)
        with monkeypatch.context() as patch:
            patch.setattr(KeepingDispatcher, "post", refuse)
            dispatcher.run_inline_tasks()
        assert all(job.ended.is_set() for job in jobs)


def test_method_stays_quick_if_the_thread_was_only_displaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process had the processor meanwhile."""
    monkeypatch.setattr(serving, "thread_usage", lambda: (7, 0.5))
    with keeping_pool() as (pool, dispatcher):
        job = Slow()
        submit(pool, [job], are_quick=True)
        dispatcher.run_inline_tasks(job.ended.is_set)
        assert not job.was_slow


def test_tasks_that_are_not_quick_go_to_a_worker() -> None:
    with keeping_pool() as (pool, dispatcher):
        job = Job()
        submit(pool, [job])
        assert job.ended.wait(10)
        assert not dispatcher.inline_tasks


def test_many_tasks_go_to_a_worker_though_a_few_were_to_run_inline() -> None:
    with keeping_pool() as (pool, dispatcher):
        jobs = [Job() for _ in range(MAX_CALLS + 1)]
        submit(pool, list(jobs[:1]), are_quick=True)
        submit(pool, list(jobs[1:]), are_quick=True)
        for job in jobs:
            assert job.ended.wait(10)
        dispatcher.run_inline_tasks()


def test_tasks_go_to_the_worker_that_is_at_the_queue() -> None:
    with keeping_pool() as (pool, dispatcher):
        slow, quick = Job(may_end=False), Job()
        submit(pool, [slow])
        assert slow.started.wait(10)
        submit(pool, [quick], are_quick=True)
        assert not dispatcher.inline_tasks
        slow.may_end.set()
        assert quick.ended.wait(10)


def test_thread_that_runs_tasks_inline_counts_as_a_worker() -> None:
    with keeping_pool(max_workers=1) as (pool, dispatcher):
        counts: list[int] = []

        class Counting(Job):
            def run(self, response_batch: ResponseBatch) -> None:
                counts.append(pool.worker_count)
                assert not pool._slots.has_room()

        submit(pool, [Counting()], are_quick=True)
        dispatcher.run_inline_tasks()
        assert counts == [1]
        assert pool.worker_count == 0


def test_tasks_wait_for_a_worker_when_no_more_may_run() -> None:
    with keeping_pool(max_workers=1) as (pool, dispatcher):
        slow, quick = Job(may_end=False), Job()
        submit(pool, [quick], are_quick=True)
        pool.submit_dedicated(CallQueue(), slow)
        assert slow.started.wait(10)
        dispatcher.run_inline_tasks()
        assert not quick.ended.is_set()
        slow.may_end.set()
        assert quick.ended.wait(10)


def test_inline_runner_leaves_the_rest_to_a_worker_after_a_slow_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = itertools.count()
    monkeypatch.setattr(serving, "thread_usage", lambda: (next(waits), 0.0))
    with keeping_pool() as (pool, dispatcher):
        first, second = Slow(), Slow()
        submit(pool, [first, second], are_quick=True)
        (runner,) = dispatcher.inline_tasks
        dispatcher.run_inline_tasks(first.ended.is_set)
        assert (first.was_slow, second.was_slow) == (True, False)
        assert not second.started.is_set()
        runner.hand_over()  # type: ignore[attr-defined]
        assert second.ended.wait(10)


@pytest.mark.parametrize("is_handed_over", [True, False])
def test_answers_in_front_of_a_slow_task_are_written_when_it_is_handed_over(
    is_handed_over: bool,
) -> None:
    with keeping_pool() as (pool, dispatcher):
        answering, slow = LateAnswering(), Slow(may_end=False)
        submit(pool, [answering, slow], are_quick=True)
        (runner,) = dispatcher.inline_tasks
        thread = threading.Thread(target=dispatcher.run_inline_tasks, args=(slow.started.is_set,))
        thread.start()
        assert slow.started.wait(10)
        assert not answering.written.is_set()
        if is_handed_over:
            runner.hand_over()  # type: ignore[attr-defined]
            assert answering.written.is_set()
        release([slow])
        thread.join()
        assert answering.written.is_set()


def test_calls_are_left_to_a_worker_when_the_inline_runner_is_interrupted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Raising(Job):
        def run(self, response_batch: ResponseBatch) -> None:
            raise SystemExit(1)

    with keeping_pool() as (pool, dispatcher):
        job = Job()
        submit(pool, [Raising(), job], are_quick=True)
        dispatcher.run_inline_tasks()
        assert not job.started.is_set()
        dispatcher.run_until_idle()
        assert job.ended.wait(10)
        assert job.thread_name.startswith("pybrpc-worker")
    assert "inline was interrupted" in caplog.text
