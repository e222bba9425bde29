"""Calls of asyncio: who ends a future, and in which thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pybrpc.client.calls.aio_calls import AioCall, AioFuture, CrossThreadAioCall, LoopBinding
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.channel.base import Lease
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.connections import ANSWER, ECHO, FakeSource
from tests.protos import conformance_pb2 as pb

every_kind = pytest.mark.parametrize("kind", [AioCall, CrossThreadAioCall])


def run(task: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await task()

    asyncio.run(main())


def side_of(source: FakeSource) -> LoopBinding:
    """Inside a loop."""
    nothing: Any = None
    lease = Lease(source, nothing)  # type: ignore[arg-type]
    return LoopBinding(asyncio.get_running_loop(), lease, crosses_threads=False)


def begin(kind: type[AioCall], source: FakeSource, side: LoopBinding | None = None) -> AioFuture:
    """Inside a loop."""
    options: Any = CallOptions(max_retry=0)
    call = kind(source, ECHO, pb.EchoRequest(message="x"), 5.0, options, None)  # type: ignore[arg-type]
    return call.begin(side or side_of(source), None)


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@every_kind
def test_answer_in_the_loop_is_told_at_once(kind: type[AioCall]) -> None:
    async def task() -> None:
        source = FakeSource()
        future = begin(kind, source)
        assert source.attended == (kind is CrossThreadAioCall)
        source.answer_well()
        assert future.done()
        assert (await future, source.attended) == (ANSWER, 0)

    run(task)


@every_kind
def test_error_is_raised(kind: type[AioCall]) -> None:
    async def task() -> None:
        source = FakeSource()
        future = begin(kind, source)
        source.answer_error(ErrorCode.EINTERNAL)
        with pytest.raises(RpcError, match="no"):
            await future

    run(task)


def test_answers_of_another_thread_come_by_one_wake_up() -> None:
    async def task() -> None:
        source, loop = FakeSource(), asyncio.get_running_loop()
        side = side_of(source)
        futures = [begin(CrossThreadAioCall, source, side) for _ in range(3)]
        wakes: list[object] = []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *a, **k: wakes.append(a) or wake(*a, **k)  # type: ignore[assignment]
        in_thread(lambda: [source.answer_well() for _ in futures])
        assert not any(future.done() for future in futures)
        assert await asyncio.gather(*futures) == [ANSWER] * 3
        assert len(wakes) == 1

    run(task)


def test_answer_for_a_loop_that_is_closed_is_dropped() -> None:
    source = FakeSource()
    futures: list[AioFuture] = []

    async def task() -> None:
        futures.append(begin(CrossThreadAioCall, source))

    run(task)
    in_thread(source.answer_well)
    assert not futures[0].done()
    assert source.pending == {}


@every_kind
def test_cancelled_future_ends_its_call(kind: type[AioCall]) -> None:
    async def task() -> None:
        source = FakeSource()
        future = begin(kind, source)
        assert future.cancel("enough")
        assert source.pending == {}
        assert not future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    run(task)


def test_answer_that_comes_after_a_cancellation_is_dropped() -> None:
    """It was on its way from another thread."""

    async def task() -> None:
        source = FakeSource()
        future = begin(CrossThreadAioCall, source)
        in_thread(source.answer_well)
        assert future.cancel()
        await asyncio.sleep(0)
        assert future.cancelled()

    run(task)
