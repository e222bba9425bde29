"""Async handlers of one read begin in one task, and don't notice."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.rpc.controller import Controller
from pybrpc.server.running.call_runner import NamedCallRunner
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Handler, async_echo, serving, serving_in_loop

COUNT = 20

current = contextvars.ContextVar[str]("current", default="nobody")

Exchange = Callable[[RawPeer], Any]


def in_loop_of_sockets(handler: Handler, exchange: Exchange) -> Any:
    """The result of `exchange` with a server in an asyncio loop."""

    def call(endpoint: Any) -> Any:
        with RawPeer(endpoint) as peer:
            return exchange(peer)

    async def main() -> Any:
        async with serving_in_loop(handler) as server:
            return await asyncio.to_thread(call, server.endpoint)

    return asyncio.run(main())


def in_loop_of_handlers(handler: Handler, exchange: Exchange) -> Any:
    """The result of `exchange` with a loop for handlers only."""
    with serving(handler) as peer:
        return exchange(peer)


@pytest.fixture(params=[in_loop_of_sockets, in_loop_of_handlers])
def exchange_with(request: pytest.FixtureRequest) -> Callable[[Handler, Exchange], Any]:
    return cast(Any, request.param)


def call_at_once(peer: RawPeer) -> list[str]:
    """The answers to COUNT requests that are sent in one piece."""
    peer.send(*(request(number, message=str(number)) for number in range(COUNT)))
    answers = peer.read_answers(COUNT)
    return [text_of(answers[number]) for number in range(COUNT)]


TEXTS = [str(number) for number in range(COUNT)]


def name_of_task() -> str:
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


def test_handlers_that_do_not_wait_share_a_task(exchange_with: Any) -> None:
    names: list[str] = []

    async def look(request: Any, controller: Controller) -> Any:
        names.append(name_of_task())
        return await async_echo(request, controller)

    assert exchange_with(look, call_at_once) == TEXTS
    assert len(names) == COUNT
    assert len(set(names)) < COUNT / 2


def test_a_handler_that_waits_shares_its_task_with_nobody(exchange_with: Any) -> None:
    names: list[tuple[str, str]] = []

    async def wait(request: Any, controller: Controller) -> Any:
        before = name_of_task()
        await asyncio.sleep(0.001)
        names.append((before, name_of_task()))
        return await async_echo(request, controller)

    assert exchange_with(wait, call_at_once) == TEXTS
    assert all(before == after for before, after in names)
    assert len(set(names)) == COUNT


def test_handler_that_waits_does_not_delay_the_others(exchange_with: Any) -> None:
    async def wait_for_last(request: Any, controller: Controller) -> Any:
        if request.message == "5":
            await last_is_answered.wait()
        if request.message == str(COUNT - 1):
            asyncio.get_running_loop().call_soon(last_is_answered.set)
        return await async_echo(request, controller)

    last_is_answered = asyncio.Event()
    assert exchange_with(wait_for_last, call_at_once) == TEXTS


def test_context_variables_stay_with_their_call(exchange_with: Any) -> None:
    async def look(request: Any, controller: Controller) -> Any:
        found = [current.get()]
        current.set(request.message)
        if int(request.message) % 3 == 0:
            await asyncio.sleep(0)
        found.append(current.get())
        assert found == ["nobody", request.message]
        return await async_echo(request, controller)

    assert exchange_with(look, call_at_once) == TEXTS


def keep_strongly() -> object:
    return asyncio.current_task()


def keep_weakly() -> object:
    """As WeakKeyDictionary does: those without a function of their own are all one."""
    return weakref.ref(cast(Any, asyncio.current_task()), lambda _: None)


@pytest.mark.parametrize("keep", [keep_strongly, keep_weakly])
def test_a_task_that_a_handler_keeps_is_not_used_again(exchange_with: Any, keep: Any) -> None:
    kept: list[Any] = []
    names: list[str] = []

    async def keep_task(request: Any, controller: Controller) -> Any:
        names.append(name_of_task())
        kept.append(keep())
        return await async_echo(request, controller)

    assert exchange_with(keep_task, call_at_once) == TEXTS
    assert len(set(names)) == COUNT
    kept.clear()


def test_a_handler_that_cancels_its_task_cancels_no_other_call(exchange_with: Any) -> None:
    async def cancel(request: Any, controller: Controller) -> Any:
        if request.message == "3":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        elif int(request.message) > 3:
            await asyncio.sleep(0)
        return await async_echo(request, controller)

    assert exchange_with(cancel, call_at_once) == TEXTS


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
def test_handler_that_raises_does_not_affect_the_others(
    exchange_with: Any, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def call(peer: RawPeer) -> list[int]:
        peer.send(*(request(number, message=str(number)) for number in range(COUNT)))
        answers = peer.read_answers(COUNT)
        return [answers[number].error_code for number in range(COUNT)]

    async def fail_at_times(request: Any, controller: Controller) -> Any:
        if request.message in ("0", "7", "8"):
            raise error
        return await async_echo(request, controller)

    failed = [ErrorCode.EINTERNAL if number in (0, 7, 8) else 0 for number in range(COUNT)]
    assert exchange_with(fail_at_times, call) == failed


class Echoer:
    async def __call__(self, request: Any, controller: Controller) -> Any:
        await asyncio.sleep(0)
        return await async_echo(request, controller)


def test_a_handler_may_be_an_object_with_an_async_call(exchange_with: Any) -> None:
    assert exchange_with(Echoer(), call_at_once) == TEXTS


class FakeLoop:
    def __init__(self) -> None:
        self.answers: list[str] = []
        self.left: list[Any] = []

    def answer(self, call: Any, data: str) -> None:
        self.answers.append(data)

    put = answer

    def end_round(self, left: deque[Any]) -> None:
        self.left += left
        left.clear()


class FakeCall:
    """A ServerCall whose answer is the text of what went wrong, or of the response."""

    def __init__(self, handler: Callable[[], Any]) -> None:
        self.handler = handler
        self.entry = self
        self.full_name = "S.M"
        self.waits = False
        self.error = ""
        self.ended = 0

    def make_controller(self) -> FakeCall:
        return self

    def call_handler(self, controller: Any) -> Any:
        return self.handler()

    def fail(self, controller: Any, error: BaseException) -> None:
        self.error = type(error).__name__

    def pack(self, controller: Any, response: object) -> str:
        return self.error or str(response)

    def end(self) -> None:
        self.ended += 1


def runner_of(loop: FakeLoop, *calls: FakeCall) -> NamedCallRunner:
    return NamedCallRunner(cast(Any, loop), deque(cast(Any, calls)))


async def wait_for_ever() -> None:
    await asyncio.Future()


def test_calls_that_are_cancelled_before_they_begin_are_answered() -> None:
    async def main() -> None:
        loop = FakeLoop()
        runner = runner_of(loop, FakeCall(wait_for_ever), FakeCall(wait_for_ever))
        task = asyncio.get_running_loop().create_task(cast(Any, runner))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.answers == ["CancelledError", "CancelledError"]

    asyncio.run(main())


def test_calls_of_a_task_that_is_dropped_end_without_an_answer() -> None:
    async def main() -> None:
        loop, calls = FakeLoop(), [FakeCall(wait_for_ever) for _ in range(3)]
        runner = runner_of(loop, *calls[:1])
        runner.send(None)
        unbegun = runner_of(loop, *calls[1:])
        del runner, unbegun
        gc.collect()
        assert [call.ended for call in calls] == [1, 1, 1]
        assert loop.answers == []

    asyncio.run(main())


def test_a_task_shows_which_method_it_runs() -> None:
    async def main() -> None:
        runner = runner_of(FakeLoop(), FakeCall(wait_for_ever))
        task = asyncio.get_running_loop().create_task(cast(Any, runner))
        assert "coro=<S.M()" in repr(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_whether_a_handler_waits_is_noted() -> None:
    async def main() -> None:
        call = FakeCall(wait_for_ever)
        runner = runner_of(FakeLoop(), call)
        runner.send(None)
        assert call.waits
        runner.close()
        call.handler = answer_at_once
        with pytest.raises(StopIteration):
            runner_of(FakeLoop(), call).send(None)
        assert not call.waits

    asyncio.run(main())


async def answer_at_once() -> str:
    return "ok"


def test_a_task_whose_call_was_cancelled_is_cancelled() -> None:
    async def main() -> None:
        loop = FakeLoop()
        runner = runner_of(loop, FakeCall(wait_for_ever), FakeCall(answer_at_once))
        task = asyncio.get_running_loop().create_task(cast(Any, runner))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert loop.answers == ["CancelledError"]
        assert len(loop.left) == 1

    asyncio.run(main())
