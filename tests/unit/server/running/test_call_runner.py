"""CallRunner: coroutines of handlers, one after another in a task, step by step."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pybrpc.server.running.call_runner import CallRunner, NamedCallRunner
from tests.fakes.server_calls import FakeHandlerLoop, FakeServerCall, Handler, quick, slow


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
    return NamedCallRunner(loop, deque(calls)), loop, calls  # type: ignore[arg-type]


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


def test_keyboard_interrupt_is_answered_and_raised() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def task() -> None:
        runner, loop, calls = runner_of(interrupted, quick)
        with pytest.raises(KeyboardInterrupt):
            runner.send(None)
        assert loop.together == ["failed: KeyboardInterrupt"]
        assert loop.left == [calls[1]]

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
