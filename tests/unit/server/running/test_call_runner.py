"""CallRunner: coroutines of handlers, one after another in a task, step by step."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from pybrpc.server.running import call_runner
from pybrpc.server.running.call_runner import MAX_SHARED_S, CallRunner, NamedCallRunner
from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.server_calls import (
    FakeHandlerLoop,
    FakeInvoker,
    FakeServerCall,
    Handler,
    quick,
    slow,
)

pytestmark = pytest.mark.python_only


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Stands still, so that no task has run for long."""
    clock = FakeClock()
    monkeypatch.setattr(call_runner, "time", clock)
    return clock


async def broken() -> str:
    raise ValueError("broken")


async def stubborn() -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "all the same"


def runner_of(*handlers: Handler) -> tuple[Any, FakeHandlerLoop, list[FakeServerCall]]:
    loop, calls = FakeHandlerLoop(), [FakeServerCall(handler) for handler in handlers]
    runner = NamedCallRunner(loop, cast(Any, FakeInvoker()), deque(cast(Any, calls)))
    return runner, loop, calls


def in_loop(task: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await task()

    asyncio.run(main())


def test_calls_that_do_not_wait_share_a_task_and_a_write() -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(quick, broken, quick)
        await asyncio.create_task(runner)
        assert loop.together == ["quick", "failed: ValueError", "quick"]
        assert (loop.at_once, loop.left) == ([], [])
        assert [call.waits for call in calls] == [False] * 3

    in_loop(task)


def test_call_that_waits_keeps_its_task_and_leaves_the_other_calls() -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(quick, slow, quick)
        await asyncio.create_task(runner)
        assert (loop.together, loop.at_once) == (["quick"], ["slow"])
        assert loop.left == [calls[2]]
        assert calls[1].waits

    in_loop(task)


def test_runner_has_the_name_of_the_method_that_runs() -> None:
    async def task() -> None:
        runner, _, _ = runner_of(slow)
        assert runner.__name__ == "S.M"
        await asyncio.create_task(runner)
        assert runner.__name__ == "CallRunner"

    in_loop(task)


def test_all_calls_are_answered_when_their_task_is_cancelled_before_it_began() -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(quick, quick)
        under_way = asyncio.create_task(runner)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        assert loop.at_once == ["failed: CancelledError"] * 2
        assert [call.outcome for call in calls] == loop.at_once

    in_loop(task)


@pytest.mark.parametrize(
    ("handler", "outcome"), [(slow, "failed: CancelledError"), (stubborn, "all the same")]
)
def test_handler_may_continue_when_its_task_is_cancelled(handler: Handler, outcome: str) -> None:
    async def task() -> None:
        runner, loop, _ = runner_of(handler)
        under_way = asyncio.create_task(runner)
        await asyncio.sleep(0)
        under_way.cancel()
        await asyncio.wait([under_way])
        assert loop.at_once == [outcome]
        assert under_way.cancelled() == (outcome != "all the same")

    in_loop(task)


def test_handler_that_fails_before_it_is_a_coroutine_is_answered() -> None:
    def no_coroutine() -> Any:
        raise SystemExit

    async def task() -> None:
        runner, loop, _ = runner_of(no_coroutine, quick)
        await asyncio.create_task(runner)
        assert loop.together == ["failed: SystemExit", "quick"]

    in_loop(task)


async def interrupted() -> None:
    raise KeyboardInterrupt


def test_keyboard_interrupt_of_a_handler_is_answered_and_reaches_the_main_thread() -> None:
    found: list[Any] = []

    async def task() -> None:
        runner, loop, _ = runner_of(interrupted, quick)
        found.append(loop.together)
        await asyncio.create_task(runner)
        await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(task())
    assert found == [["failed: KeyboardInterrupt", "quick"]]


@pytest.mark.parametrize("error", [GeneratorExit, SystemExit])
def test_handler_that_raises_no_exception_class_fails_its_own_call_only(
    error: type[BaseException],
) -> None:
    async def raising() -> None:
        raise error

    async def task() -> None:
        runner, loop, _ = runner_of(quick, raising, quick)
        await asyncio.create_task(runner)
        assert loop.together == ["quick", f"failed: {error.__name__}", "quick"]

    in_loop(task)


def test_runner_runs_outside_of_any_task() -> None:
    """As what a task that begins at once runs in."""

    async def task() -> None:
        runner, loop, _ = runner_of(quick)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def step() -> None:
            with pytest.raises(StopIteration):
                runner.send(None)
            over.set_result(None)

        asyncio.get_running_loop().call_soon(step)
        await over
        assert loop.together == ["quick"]

    in_loop(task)


def test_calls_end_without_a_response_at_a_generator_exit() -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(slow)
        runner.send(None)
        with pytest.raises(GeneratorExit):
            runner.throw(GeneratorExit())
        assert ([call.outcome for call in calls], loop.at_once) == (["ended"], [])

    in_loop(task)


@pytest.mark.parametrize("has_begun", [False, True])
def test_calls_end_when_their_runner_is_deleted(has_begun: bool) -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(slow)
        if has_begun:
            runner.send(None)
        del runner
        gc.collect()
        assert ([call.outcome for call in calls], loop.at_once) == (["ended"], [])

    in_loop(task)


def test_waiting_handler_is_closed_with_its_runner() -> None:
    told: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            told.append("tidied up")

    async def task() -> None:
        runner, _, calls = runner_of(tidy)
        runner.send(None)
        runner.close()
        runner.close()
        assert (told, calls[0].outcome) == (["tidied up"], "ended")

    in_loop(task)


def test_calls_of_one_task_have_separate_contexts() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def count() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    async def task() -> None:
        runner, loop, _ = runner_of(count, count)
        await asyncio.create_task(runner)
        assert loop.together == [1, 1]
        assert isinstance(runner, CallRunner)

    in_loop(task)


def test_first_call_of_a_task_runs_in_the_context_of_the_task() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")

    async def look() -> str:
        found = variable.get()
        variable.set("a handler's")
        return found

    async def task() -> None:
        context = contextvars.copy_context()
        context.run(variable.set, "the task's")
        runner, loop, _ = runner_of(look, look)
        await asyncio.get_running_loop().create_task(runner, context=context)
        assert loop.together == ["the task's", "nothing"]

    in_loop(task)


def test_call_is_kept_while_it_waits_in_its_task() -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(slow)
        under_way = asyncio.create_task(runner)
        await asyncio.sleep(0)
        assert loop.kept == {calls[0]}
        assert calls[0].task is under_way
        await under_way
        assert (loop.kept, calls[0].task) == (set(), None)

    in_loop(task)


def test_call_that_nobody_waits_for_does_not_run() -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(quick, quick)
        calls[0].is_unwanted = True
        await asyncio.create_task(runner)
        assert (calls[0].outcome, loop.together) == ("ended", ["quick"])

    in_loop(task)


def test_task_that_has_run_for_long_begins_no_more_calls(clock: FakeClock) -> None:
    async def long() -> str:
        clock.advance(2 * MAX_SHARED_S)
        return "long"

    async def task() -> None:
        runner, loop, calls = runner_of(quick, long, quick)
        await asyncio.create_task(runner)
        assert loop.together == ["quick", "long"]
        assert loop.left == [calls[2]]

    in_loop(task)


async def set_attribute(task: Any) -> None:
    task.user = "somebody"


async def set_name(task: Any) -> None:
    task.set_name("mine")


async def add_callback(task: Any) -> None:
    task.add_done_callback(lambda _: None)


async def cancel_and_uncancel(task: Any) -> None:
    task.cancel()
    task.uncancel()


async def cancel_with_a_message(task: Any) -> None:
    task.cancel("enough")


CHANGES = [set_attribute, set_name, add_callback, cancel_and_uncancel, cancel_with_a_message]


@pytest.mark.parametrize("change", CHANGES)
def test_task_that_a_handler_has_changed_is_not_used_again(change: Any) -> None:
    async def changing() -> str:
        await change(asyncio.current_task())
        return "changing"

    async def task() -> None:
        runner, loop, calls = runner_of(quick, changing, quick)
        await asyncio.wait([asyncio.create_task(runner)])
        assert loop.together == ["quick", "changing"]
        assert loop.left == [calls[2]]

    in_loop(task)


def test_task_shows_which_method_it_runs() -> None:
    async def task() -> None:
        runner, _, _ = runner_of(slow)
        under_way = asyncio.create_task(runner)
        assert "coro=<S.M()" in repr(under_way)
        await under_way

    in_loop(task)


@pytest.mark.parametrize("handler", [quick, slow])
def test_call_that_cannot_be_packed_ends_and_leaves_its_task(handler: Handler) -> None:
    def fail(*arguments: object) -> Any:
        raise MemoryError

    async def task() -> None:
        runner, loop, calls = runner_of(handler)
        cast(Any, calls[0]).pack = fail
        await asyncio.create_task(runner)
        assert (calls[0].outcome, calls[0].task, loop.kept) == ("ended", None, set())

    in_loop(task)


def test_calls_of_a_cancelled_task_end_when_one_cannot_be_answered() -> None:
    def fail(*arguments: object) -> Any:
        raise MemoryError

    async def task() -> None:
        runner, _, calls = runner_of(quick, quick)
        cast(Any, calls[0]).pack = fail
        under_way = asyncio.create_task(runner)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        assert [call.outcome for call in calls] == ["ended", "failed: CancelledError"]

    in_loop(task)


@pytest.mark.parametrize("step", ["ends_unrun", "answer_if_late"])
def test_call_whose_beginning_raises_is_refused_and_the_next_one_runs(step: str) -> None:
    async def task() -> None:
        runner, loop, calls = runner_of(quick, quick)
        invoker = runner._invoker
        original = getattr(invoker, step)

        def fail_first(call: Any, *arguments: Any) -> Any:
            if call is calls[0]:
                raise MemoryError
            return original(call, *arguments)

        setattr(invoker, step, fail_first)
        await asyncio.create_task(runner)
        assert (calls[0].outcome, loop.together) == ("refused: EINTERNAL", ["quick"])

    in_loop(task)
