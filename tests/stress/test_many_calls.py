"""Many calls, however they end, leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcTimeoutError
from tests.peers.callers import LOOPS
from tests.peers.echo import ECHO, echo_request
from tests.peers.forgetful import echo_in_batches, swallow
from tests.peers.load import share_of
from tests.peers.scripted_server import ScriptedServer

pytestmark = pytest.mark.stress

CALLS = 5000 + share_of(95_000)
CANCELED = share_of(20_000)
IN_FLIGHT = 500
HANG_S = 300
GROWTH_BYTES = 200_000
"""Far below a byte for each call."""


@pytest.fixture
def traced() -> Iterator[None]:
    yield
    tracemalloc.stop()


def memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def assert_nothing_waits(channel: Any) -> None:
    (connection,) = channel._leases[0].source.connections
    assert len(connection._pending) == 0
    assert sum(len(queue) for queue in connection.timeouts._queues.values()) == 0
    assert connection.socket.backlog.size_bytes == 0


def call_by_callbacks(stub: Any, count: int) -> None:
    """`count` calls, IN_FLIGHT at a time."""
    over = threading.Event()
    lock = threading.Lock()
    left_to_start, left_to_end = count, count

    def start() -> None:
        stub.Echo.with_callback(echo_request("hello"), done)

    def done(response: Any, error: Any) -> None:
        nonlocal left_to_start, left_to_end
        assert error is None, error
        with lock:
            left_to_end -= 1
            is_last = left_to_end == 0
            may_start = left_to_start > 0
            left_to_start -= may_start
        if is_last:
            over.set()
        elif may_start:
            start()

    left_to_start -= min(IN_FLIGHT, count)
    for _ in range(min(IN_FLIGHT, count)):
        start()
    assert over.wait(HANG_S)


@pytest.mark.usefixtures("traced")
def test_100_000_calls_leave_nothing() -> None:
    with ScriptedServer(echo_in_batches) as server:
        with pybrpc.Channel(server.address, timeout=60) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            call_by_callbacks(stub, CALLS - 5000)
            tracemalloc.start()
            call_by_callbacks(stub, 2000)
            before = memory()
            call_by_callbacks(stub, 3000)
            assert memory() - before < GROWTH_BYTES
            assert_nothing_waits(channel)


@pytest.mark.parametrize("loop", LOOPS)
def test_many_tasks_leave_nothing(loop: str) -> None:
    async def main() -> None:
        async with pybrpc.aio.Channel(server.address, timeout=60) as channel:
            stub = pybrpc.Stub(ECHO, channel)

            async def work() -> None:
                for _ in range(50):
                    await stub.Echo(echo_request("hello"))

            await asyncio.gather(*[work() for _ in range(IN_FLIGHT)])
            assert_nothing_waits(channel)
            assert len(asyncio.all_tasks()) == 1

    with (
        ScriptedServer(echo_in_batches) as server,
        asyncio.Runner(loop_factory=LOOPS[loop]) as runner,
    ):
        runner.run(main())
    assert server.connections == 1


def test_20_000_canceled_futures_leave_nothing() -> None:
    with ScriptedServer(swallow) as server:
        with pybrpc.Channel(server.address, timeout=60) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for _ in range(-(-CANCELED // IN_FLIGHT)):
                futures = [stub.Echo.future(echo_request()) for _ in range(IN_FLIGHT)]
                canceled = [future.cancel() for future in futures]
                assert canceled == [True] * IN_FLIGHT
            stub.Echo.future(echo_request()).cancel()
            (connection,) = channel._leases[0].source.connections
            assert len(connection._pending) == 0
            assert sum(len(queue) for queue in connection.timeouts._queues.values()) == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_20_000_canceled_tasks_leave_nothing(loop: str) -> None:
    async def main() -> None:
        async with pybrpc.aio.Channel(server.address, timeout=60) as channel:
            stub = pybrpc.Stub(ECHO, channel)

            async def call() -> None:
                await stub.Echo(echo_request())

            for _ in range(-(-CANCELED // IN_FLIGHT)):
                tasks = [asyncio.create_task(call()) for _ in range(IN_FLIGHT)]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(end) for end in ends} == {asyncio.CancelledError}
            (connection,) = channel._leases[0].source.connections
            assert len(connection._pending) == 0
            assert sum(len(queue) for queue in connection.timeouts._queues.values()) == 0
            assert len(asyncio.all_tasks()) == 1

    with ScriptedServer(swallow) as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_20_000_calls_that_expire_together_leave_nothing() -> None:
    with ScriptedServer(swallow) as server:
        with pybrpc.Channel(server.address) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request(), timeout=1) for _ in range(share_of(20_000))]
            for future in futures:
                with pytest.raises(RpcTimeoutError):
                    future.result()
            (connection,) = channel._leases[0].source.connections
            assert len(connection._pending) == 0
            assert sum(len(queue) for queue in connection.timeouts._queues.values()) == 0
