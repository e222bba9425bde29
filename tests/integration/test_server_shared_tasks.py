"""Async handlers of one read begin in one task, and don't notice."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.rpc.controller import Controller
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
    # A task begins no more calls after a millisecond.
    assert len(set(names)) < COUNT


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
