"""The future of an asyncio call, with all that asyncio does with futures."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import NoMethodError, RpcTimeoutError
from tests.peers.echo import ECHO, echo_request
from tests.peers.loops import RUNS
from tests.protos import conformance_pb2 as pb

pytestmark = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
SLOW_MS = 500
Run = Callable[[Coroutine[Any, Any, None]], None]


class Service:
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.sleep_ms:
            await asyncio.sleep(request.sleep_ms / 1000)
        if request.message == "refuse":
            raise NoMethodError("refused")
        return pb.EchoResponse(message=request.message)

    async def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
        raise NotImplementedError


@asynccontextmanager
async def stub() -> AsyncIterator[Any]:
    with pybrpc.Server() as server:
        server.add_service(ECHO, Service())
        endpoint = server.start("127.0.0.1:0")
        async with pybrpc.aio.Channel(str(endpoint), timeout=30) as channel:
            yield pybrpc.Stub(ECHO, channel)


def test_many_ways_to_wait_for_several(run: Run) -> None:
    async def wait_for_several() -> None:
        async with stub() as echo:
            calls = [echo.Echo(echo_request(str(i))) for i in range(5)]
            assert [r.message for r in await asyncio.gather(*calls)] == list("01234")
            tasks = [asyncio.create_task(echo.Echo(echo_request(str(i)))) for i in range(5)]
            done, pending = await asyncio.wait(tasks)
            assert (done, pending) == (set(tasks), set())
            calls = [echo.Echo(echo_request(str(i))) for i in range(5)]
            found = {(await each).message for each in asyncio.as_completed(calls)}
            assert found == set("01234")

    run(wait_for_several())


def test_first_of_two(run: Run) -> None:
    async def first_of_two() -> None:
        async with stub() as echo:
            quick = asyncio.create_task(echo.Echo(echo_request()))
            slow = asyncio.create_task(echo.Echo(echo_request(sleep_ms=SLOW_MS)))
            done, pending = await asyncio.wait([quick, slow], return_when=asyncio.FIRST_COMPLETED)
            assert (done, pending) == ({quick}, {slow})
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow

    run(first_of_two())


def test_a_timeout_of_the_task_ends_the_call(run: Run) -> None:
    async def time_out() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request(sleep_ms=SLOW_MS))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.01)
            assert call.cancelled()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await echo.Echo(echo_request(sleep_ms=SLOW_MS))
            assert (await asyncio.wait_for(echo.Echo(echo_request("on")), 30)).message == "on"

    run(time_out())


def test_a_shield_keeps_the_call_alive(run: Run) -> None:
    async def shielded() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request("alive", sleep_ms=50))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(call), 0.001)
            assert (await call).message == "alive"

    run(shielded())


def test_a_group_of_tasks_cancels_the_calls_of_the_others(run: Run) -> None:
    async def grouped() -> None:
        async with stub() as echo:
            calls = [echo.Echo(echo_request("refuse")), echo.Echo(echo_request(sleep_ms=SLOW_MS))]

            async def wait(call: Any) -> Any:
                return await call

            async def wait_for_all() -> None:
                async with asyncio.TaskGroup() as group:
                    for call in calls:
                        group.create_task(wait(call))

            with pytest.raises(ExceptionGroup) as raised:
                await wait_for_all()
            assert raised.group_contains(NoMethodError)
            assert calls[1].cancelled()

    run(grouped())


def test_an_error_may_be_asked_for_more_than_once(run: Run) -> None:
    async def ask_twice() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request("refuse"))
            for _ in range(2):
                with pytest.raises(NoMethodError, match="refused"):
                    await call
            assert isinstance(call.exception(), NoMethodError)
            late = echo.Echo(echo_request(sleep_ms=SLOW_MS), timeout=0.01)
            found = await asyncio.gather(late, return_exceptions=True)
            assert isinstance(found[0], RpcTimeoutError)

    run(ask_twice())


def test_two_tasks_may_wait_for_one_call(run: Run) -> None:
    async def wait_twice() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request("both"))

            async def message() -> Any:
                return (await call).message

            assert await asyncio.gather(message(), message()) == ["both", "both"]

    run(wait_twice())


def test_callbacks_come_after_the_end_and_in_order(run: Run) -> None:
    async def call_back() -> None:
        async with stub() as echo:
            called: list[object] = []
            call = echo.Echo(echo_request())
            call.add_done_callback(lambda _: called.append(1))
            call.add_done_callback(called.append)
            call.remove_done_callback(called.append)
            call.add_done_callback(lambda future: called.append(future.result().message))
            await call
            await asyncio.sleep(0)
            assert called == [1, "hello"]

    run(call_back())


def test_call_is_a_future_of_its_loop(run: Run) -> None:
    async def look() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request())
            assert isinstance(call, asyncio.Future)
            assert asyncio.isfuture(call)
            assert call.get_loop() is asyncio.get_running_loop()
            assert asyncio.ensure_future(call) is call
            assert not call.done()
            await call
            assert call.done()

    run(look())


def test_in_another_loop_it_is_refused(run: Run) -> None:
    async def elsewhere(call: Any) -> None:
        with pytest.raises(RuntimeError, match="different loop"):
            await call

    async def hand_over() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request(sleep_ms=10_000))
            await asyncio.to_thread(asyncio.run, elsewhere(call))
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    run(hand_over())


def test_task_may_be_made_of_a_call_which_has_begun_and_is_a_future(run: Run) -> None:
    async def tasks() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request("hello"))
            assert isinstance(call, asyncio.Future)
            assert asyncio.ensure_future(call) is call
            task = asyncio.create_task(call, name="mine")
            assert "coro=<conformance.EchoService.Echo()" in repr(task)
            assert (await task).message == "hello"
            assert call.result().message == "hello"
            assert (await asyncio.create_task(call)) is (await task)
            assert "coro=<AioFuture()" in repr(task)
            with pytest.raises(NoMethodError, match="refused"):
                await asyncio.create_task(echo.Echo(echo_request("refuse")))

    run(tasks())


def test_failed_task_of_a_call_leaves_no_cycle_that_keeps_the_objects_of_its_caller(
    run: Run,
) -> None:
    class Object:
        pass

    async def fail(echo: Any) -> weakref.ref[Object]:
        mine = Object()
        with pytest.raises(NoMethodError):
            await asyncio.create_task(echo.Echo(echo_request("refuse")))
        return weakref.ref(mine)

    async def look() -> None:
        async with stub() as echo:
            gc.collect()
            gc.disable()
            try:
                kept = await fail(echo)
                await asyncio.sleep(0)
                assert kept() is None
            finally:
                gc.enable()

    run(look())


def test_task_group_takes_calls_and_cancels_them_when_one_fails(run: Run) -> None:
    async def both(*calls: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call)

    async def group() -> None:
        async with stub() as echo:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(echo.Echo(echo_request(text))) for text in "abc"]
            assert [task.result().message for task in tasks] == list("abc")
            slow = echo.Echo(echo_request(sleep_ms=60_000))
            with pytest.raises(ExceptionGroup) as caught:
                await both(slow, echo.Echo(echo_request("refuse")))
            assert [type(error) for error in caught.value.exceptions] == [NoMethodError]
            assert slow.cancelled()

    run(group())


@pytest.mark.parametrize("rounds", [0, 3])
def test_cancelled_task_cancels_its_call(run: Run, rounds: int) -> None:
    """Also if the task has not begun: the call has."""

    async def cancel() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request(sleep_ms=60_000))
            task = asyncio.create_task(call)
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (task.cancelled(), call.cancelled()) == (True, True)

    run(cancel())


def test_call_that_is_closed_like_a_coroutine_is_cancelled(run: Run) -> None:
    async def close() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request(sleep_ms=60_000))
            call.close()
            assert call.cancelled()
            ended = echo.Echo(echo_request("hello"))
            await ended
            ended.close()
            assert ended.result().message == "hello"
            with pytest.raises(ValueError, match="mine"):
                ended.throw(ValueError, ValueError("mine"))

    run(close())


def test_wait_takes_tasks_of_calls_as_of_other_coroutines(run: Run) -> None:
    async def wait() -> None:
        async with stub() as echo:
            call = echo.Echo(echo_request("hello"))
            with pytest.raises(TypeError, match="Passing coroutines is forbidden, use tasks"):
                await asyncio.wait([call])
            done, _ = await asyncio.wait([asyncio.create_task(call)])
            assert [task.result().message for task in done] == ["hello"]

    run(wait())


@pytest.mark.parametrize("is_retrieved", [False, True])
def test_error_that_nobody_retrieves_is_reported(run: Run, is_retrieved: bool) -> None:
    async def drop() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with stub() as echo:
            call = echo.Echo(echo_request("refuse"))
            while not call.done():
                await asyncio.sleep(0.001)
            if is_retrieved:
                assert isinstance(call.exception(), NoMethodError)
            del call
            gc.collect()
        if is_retrieved:
            assert told == []
        else:
            (context,) = told
            assert context["message"] == "AioFuture exception was never retrieved"
            assert isinstance(context["exception"], NoMethodError)

    run(drop())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin at once from 3.12 on")
def test_tasks_that_begin_at_once(run: Run) -> None:
    async def eager() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with stub() as echo:

            async def message(text: str) -> Any:
                return (await echo.Echo(echo_request(text))).message

            tasks = [asyncio.create_task(message(text)) for text in "abc"]
            assert await asyncio.gather(*tasks) == list("abc")

    run(eager())


def test_while_the_loop_is_being_debugged(run: Run) -> None:
    async def debugged() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with stub() as echo:
            assert (await echo.Echo(echo_request("hello"))).message == "hello"

    run(debugged())
