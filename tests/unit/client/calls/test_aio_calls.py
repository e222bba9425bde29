"""Calls of asyncio: how their futures are set, and in which thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pybrpc.client.calls.aio_calls import AioFuture, LoopBinding, new_aio_call
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.connections import ANSWER, ECHO, FakeSource
from tests.protos import conformance_pb2 as pb

every_form = pytest.mark.parametrize("crosses_threads", [False, True])


def run(task: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await task()

    asyncio.run(main())


def binding_of(source: FakeSource, crosses_threads: bool) -> LoopBinding:
    """Inside a loop."""
    any_source: Any = source
    return LoopBinding(asyncio.get_running_loop(), any_source, crosses_threads)


def begin(source: FakeSource, crosses_threads: bool) -> AioFuture:
    """Inside a loop."""
    return begin_in(binding_of(source, crosses_threads))


def begin_in(binding: LoopBinding) -> AioFuture:
    options, request = CallOptions(max_retry=0), pb.EchoRequest(message="x")
    return new_aio_call(binding, ECHO, request, 5.0, options, None).begin(binding, None)


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@every_form
def test_response_in_the_loop_sets_the_future_at_once(crosses_threads: bool) -> None:
    async def task() -> None:
        source = FakeSource()
        future = begin(source, crosses_threads)
        assert source.attended == crosses_threads
        source.answer_well()
        assert future.done()
        assert (await future, source.attended) == (ANSWER, 0)

    run(task)


@every_form
def test_awaited_future_raises_the_error(crosses_threads: bool) -> None:
    async def task() -> None:
        source = FakeSource()
        future = begin(source, crosses_threads)
        source.answer_error(ErrorCode.EINTERNAL)
        with pytest.raises(RpcError, match="no"):
            await future

    run(task)


def test_responses_from_another_thread_wake_the_loop_once() -> None:
    async def task() -> None:
        source, loop = FakeSource(), asyncio.get_running_loop()
        binding = binding_of(source, crosses_threads=True)
        futures = [begin_in(binding) for _ in range(3)]
        wakes: list[object] = []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *a, **k: wakes.append(a) or wake(*a, **k)  # type: ignore[assignment]
        in_thread(lambda: [source.answer_well() for _ in futures])
        assert not any(future.done() for future in futures)
        assert await asyncio.gather(*futures) == [ANSWER] * 3
        assert len(wakes) == 1

    run(task)


def test_response_for_a_closed_loop_is_dropped() -> None:
    source = FakeSource()
    futures: list[AioFuture] = []

    async def task() -> None:
        futures.append(begin(source, crosses_threads=True))

    run(task)
    in_thread(source.answer_well)
    assert not futures[0].done()
    assert source.pending == {}


@every_form
def test_cancelled_future_ends_its_call(crosses_threads: bool) -> None:
    async def task() -> None:
        source = FakeSource()
        future = begin(source, crosses_threads)
        assert future.cancel("enough")
        assert source.pending == {}
        assert not future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    run(task)


def test_response_that_comes_after_a_cancellation_is_dropped() -> None:
    """It was on its way from another thread."""

    async def task() -> None:
        source = FakeSource()
        future = begin(source, crosses_threads=True)
        in_thread(source.answer_well)
        assert future.cancel()
        await asyncio.sleep(0)
        assert future.cancelled()

    run(task)
