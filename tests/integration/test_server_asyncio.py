"""A server in an asyncio loop, and async handlers of a server without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, ServerStateError
from pybrpc.rpc.controller import Controller
from tests.peers.loops import RUNS
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import (
    Gate,
    async_echo,
    echo,
    make_server,
    serving,
    serving_in_loop,
    start,
)

Run = Callable[[Coroutine[Any, Any, None]], None]


ON_BOTH_LOOPS = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


async def in_thread(function: Callable[[RawPeer], Any], endpoint: Endpoint) -> Any:
    """`function(peer)` in a thread, so that the loop is free to serve it."""

    def call() -> Any:
        with RawPeer(endpoint) as peer:
            return function(peer)

    return await asyncio.to_thread(call)


@ON_BOTH_LOOPS
@pytest.mark.parametrize("handler", [echo, async_echo], ids=["def", "async"])
def test_loop_serves(run: Run, handler: Any) -> None:
    async def main() -> None:
        async with serving_in_loop(handler) as server:
            answer = await in_thread(RawPeer.call, server.endpoint)
            assert text_of(answer) == "hello"

    run(main())


@ON_BOTH_LOOPS
def test_handlers_of_both_kinds_on_many_connections(run: Run) -> None:
    def call_many(peer: RawPeer) -> set[int]:
        peer.send(*(request(i, ("Echo", "Stream")[i % 2]) for i in range(300)))
        return {i for i, answer in peer.read_answers(300).items() if text_of(answer) == "hello"}

    async def main() -> None:
        async with serving_in_loop(echo, async_echo) as server:
            found = await asyncio.gather(*(in_thread(call_many, server.endpoint) for _ in range(5)))
            assert found == [set(range(300))] * 5

    run(main())


def test_async_handler_runs_in_the_loop_of_the_server() -> None:
    seen: list[object] = []

    async def look(request: Any, controller: Controller) -> Any:
        seen.append(asyncio.get_running_loop())
        seen.append(asyncio.current_task())
        return await async_echo(request, controller)

    async def main() -> None:
        async with serving_in_loop(look) as server:
            await in_thread(RawPeer.call, server.endpoint)
            loop, task = seen
            assert loop is asyncio.get_running_loop()
            assert isinstance(task, asyncio.Task)

    asyncio.run(main())


def test_server_of_a_loop_starts_no_thread_for_async_handlers() -> None:
    threads: list[str] = []

    async def look(request: Any, controller: Controller) -> Any:
        threads.extend(t.name for t in threading.enumerate() if t.name.startswith("pybrpc"))
        return await async_echo(request, controller)

    async def main() -> None:
        async with serving_in_loop(look) as server:
            await in_thread(RawPeer.call, server.endpoint)

    asyncio.run(main())
    assert threads == ["pybrpc-sampler"], "which any server has, for its metrics"


def test_plain_handler_that_blocks_does_not_block_the_loop() -> None:
    gate = Gate()

    def call(peer: RawPeer) -> list[int]:
        peer.send(request(1), request(2, "Stream"))
        first = peer.read_answer().correlation_id
        gate.open()
        return [first, peer.read_answer().correlation_id]

    async def main() -> None:
        async with serving_in_loop(gate, async_echo) as server:
            assert await in_thread(call, server.endpoint) == [2, 1]

    asyncio.run(main())


@pytest.mark.parametrize("count", [2, 200])
def test_async_handlers_of_one_connection_run_at_once(count: int) -> None:
    def call(peer: RawPeer) -> int:
        peer.send(*(request(i) for i in range(count)))
        return len(peer.read_answers(count))

    async def main() -> None:
        arrived = asyncio.Semaphore(0)
        may_answer = asyncio.Event()

        async def meet(request: Any, controller: Controller) -> Any:
            arrived.release()
            await may_answer.wait()
            return await async_echo(request, controller)

        async with serving_in_loop(meet) as server:
            calls = asyncio.ensure_future(in_thread(call, server.endpoint))
            for _ in range(count):
                await arrived.acquire()
            may_answer.set()
            assert await calls == count

    asyncio.run(main())


def test_async_handlers_without_a_loop_run_at_once() -> None:
    meetings: dict[str, Any] = {"count": 0}

    async def meet(request: Any, controller: Controller) -> Any:
        everybody_is_here = meetings.setdefault("event", asyncio.Event())
        meetings["count"] += 1
        if meetings["count"] == 50:
            everybody_is_here.set()
        await everybody_is_here.wait()
        return await async_echo(request, controller)

    with serving(meet) as peer:
        peer.send(*(request(i) for i in range(50)))
        assert len(peer.read_answers(50)) == 50


def test_async_handlers_without_a_loop_share_one_thread() -> None:
    threads: set[str] = set()

    async def look(request: Any, controller: Controller) -> Any:
        threads.add(threading.current_thread().name)
        await asyncio.sleep(0)
        return await async_echo(request, controller)

    with serving(look) as peer:
        peer.send(*(request(i) for i in range(50)))
        peer.read_answers(50)
    assert threads == {"pybrpc-handler-loop"}


def test_server_without_async_handlers_starts_no_loop() -> None:
    with serving(echo) as peer:
        peer.call()
        assert "pybrpc-handler-loop" not in {thread.name for thread in threading.enumerate()}


def test_handler_that_cancels_itself_is_answered() -> None:
    async def cancel(request: Any, controller: Controller) -> Any:
        raise asyncio.CancelledError

    with serving(cancel) as peer:
        answer = peer.call()
        assert answer.error_code == ErrorCode.EINTERNAL
        assert answer.error_text.endswith("CancelledError")


def test_started_in_a_coroutine_without_async_with_the_loop_is_not_used() -> None:
    seen: list[str] = []

    async def look(request: Any, controller: Controller) -> Any:
        seen.append(threading.current_thread().name)
        return await async_echo(request, controller)

    async def main() -> None:
        server = make_server(look)
        with RawPeer(start(server)) as peer:
            assert text_of(peer.call()) == "hello"
        server.stop()
        await server.wait_stopped()
        assert server.join()

    asyncio.run(main())
    assert seen == ["pybrpc-handler-loop"]


@ON_BOTH_LOOPS
def test_leaving_the_block_waits_for_running_requests(run: Run) -> None:
    async def main() -> None:
        entered, may_answer = asyncio.Event(), asyncio.Event()

        async def wait(request: Any, controller: Controller) -> Any:
            entered.set()
            await may_answer.wait()
            return await async_echo(request, controller)

        async with serving_in_loop(wait) as server:
            call = asyncio.ensure_future(in_thread(RawPeer.call, server.endpoint))
            await entered.wait()
            asyncio.get_running_loop().call_soon(may_answer.set)
        assert text_of(await call) == "hello"
        assert not server.is_running

    run(main())


def test_running_task_is_cancelled_when_the_grace_ends() -> None:
    async def main() -> None:
        entered = asyncio.Event()
        cancelled: list[bool] = []

        async def hang(request: Any, controller: Controller) -> Any:
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        async with serving_in_loop(hang) as server:
            call = asyncio.ensure_future(in_thread(read_eof, server.endpoint))
            await entered.wait()
            server.stop(0.01)
            await server.wait_stopped()
            await call
        assert cancelled == [True]

    asyncio.run(main())


def read_eof(peer: RawPeer) -> None:
    peer.send(request(1))
    assert peer.read_to_end() == b""


def test_stop_from_another_thread_ends_wait_stopped() -> None:
    async def main() -> None:
        async with serving_in_loop() as server:
            stopping = asyncio.ensure_future(asyncio.to_thread(server.stop))
            await server.wait_stopped()
            await stopping
            assert not server.is_running

    asyncio.run(main())


def test_join_in_the_loop_of_the_server_is_refused() -> None:
    async def main() -> None:
        async with serving_in_loop() as server:
            with pytest.raises(ServerStateError, match="await wait_stopped"):
                server.join()
            with pytest.raises(ServerStateError, match="await wait_stopped"):
                server.run_until_asked_to_quit()
            assert await asyncio.to_thread(server.join, 0) is False

    asyncio.run(main())


def test_server_runs_in_several_loops_one_after_another() -> None:
    server = make_server(async_echo)

    async def main() -> None:
        async with server:
            answer = await in_thread(RawPeer.call, start(server))
            assert text_of(answer) == "hello"

    for run in RUNS.values():
        run(main())
    with server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"


def test_wait_stopped_before_start_returns() -> None:
    asyncio.run(make_server().wait_stopped())
