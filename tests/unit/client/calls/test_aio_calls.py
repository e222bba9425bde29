"""Calls of asyncio: how their futures are set, and in which thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pybrpc.client.calls.aio_calls import AioCall, AioFuture, LoopBinding, new_aio_call
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.errors import BadResponseError, ControllerInUseError, ErrorCode, RpcError
from pybrpc.rpc.controller import Controller
from tests.fakes.connections import ANSWER, ECHO, FakeSource, OddMethod
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


def begin_in(binding: LoopBinding, controller: Controller | None = None) -> AioFuture:
    options, request = CallOptions(max_retry=0), pb.EchoRequest(message="x")
    return new_aio_call(binding, ECHO, request, 5.0, options, controller).begin(binding, None)


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
        wakes: list[Any] = []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *a, **k: wakes.append(a) or wake(*a, **k)  # type: ignore[assignment]
        in_thread(lambda: [source.answer_well() for _ in futures])
        assert not any(future.done() for future in futures)
        assert await asyncio.gather(*futures) == [ANSWER] * 3
        assert [wake[0].__name__ for wake in wakes] == ["_settle_some", "_watch"]

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


def begin_odd(source: FakeSource, kind: type[BaseException]) -> AioFuture:
    """Inside a loop."""
    any_method: Any = OddMethod(kind)
    binding = binding_of(source, crosses_threads=False)
    options, request = CallOptions(max_retry=0), pb.EchoRequest(message="x")
    return new_aio_call(binding, any_method, request, 5.0, options, None).begin(binding, None)


@pytest.mark.parametrize(
    "kind", [ValueError, MemoryError, RecursionError, SystemExit, GeneratorExit]
)
def test_awaited_future_raises_eresponse_whatever_the_parser_raises(
    kind: type[BaseException],
) -> None:
    async def task() -> None:
        source = FakeSource()
        future = begin_odd(source, kind)
        source.answer_well()
        with pytest.raises(BadResponseError) as caught:
            await future
        assert isinstance(caught.value.__cause__, kind)

    run(task)


def test_ctrl_c_in_the_parser_reaches_the_main_thread_after_the_call_has_ended() -> None:
    futures: list[AioFuture] = []

    async def task() -> None:
        source = FakeSource()
        futures.append(begin_odd(source, KeyboardInterrupt))
        source.answer_well()
        assert isinstance(futures[0].exception(), BadResponseError)
        await asyncio.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        run(task)
    assert futures[0].done()


@pytest.mark.python_only
def test_end_that_raises_stops_the_polling_for_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def raise_it(call: AioCall, message: object) -> None:
        raise MemoryError

    async def task() -> None:
        source = FakeSource()
        future = begin(source, crosses_threads=True)
        with monkeypatch.context() as patch:
            patch.setattr(AioCall, "_set_future", raise_it)
            with pytest.raises(MemoryError):
                source.answer_well()
        assert source.attended == 0
        future.cancel()

    run(task)


@every_form
def test_controller_of_a_call_whose_loop_is_closed_serves_the_next_one(
    crosses_threads: bool,
) -> None:
    controller, left, source = Controller(), FakeSource(), FakeSource()

    async def leave_in_flight() -> None:
        binding = binding_of(left, crosses_threads)
        begin_in(binding, controller)
        with pytest.raises(ControllerInUseError):
            begin_in(binding, controller)

    async def call_again() -> None:
        future = begin_in(binding_of(source, crosses_threads), controller)
        left.answer_well()
        assert controller.latency_us == 0
        source.answer_well()
        assert await future == ANSWER
        assert controller.latency_us > 0

    run(leave_in_flight)
    run(call_again)


def test_call_that_finds_no_thread_leaves_its_controller_to_others() -> None:
    async def task() -> None:
        source, controller = FakeSource(), Controller()
        count = source.dispatcher.require_polling

        def find_no_thread() -> None:
            count()
            raise RuntimeError("can't start new thread")

        source.dispatcher.require_polling = find_no_thread  # type: ignore[method-assign]
        binding = binding_of(source, crosses_threads=True)
        with pytest.raises(RuntimeError, match="can't start"):
            begin_in(binding, controller)
        assert (source.sent, source.attended) == (0, 0)
        source.dispatcher.require_polling = count  # type: ignore[method-assign]
        begin_in(binding, controller).cancel()

    run(task)
