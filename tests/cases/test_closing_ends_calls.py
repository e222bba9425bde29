"""Closing a channel, or the loop it runs in, ends its calls and releases what they held."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

import pybrpc
from pybrpc.lowlevel import default_runtime
from tests.cases.child import run_in_child
from tests.cases.peers import PATIENT_S, close_after, echo_channel, in_thread, wait_for, waited_for
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer, never_answer

PAUSE_S = 3.0
IN_A_PAUSE = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=PAUSE_S, max_s=PAUSE_S, jitter=0))


def seconds_that_a_paused_call_outlives_its_channel(form: str) -> float:
    with ScriptedServer(close_after(1)) as server:
        if form == "aio":
            return asyncio.run(close_in_a_loop(server))
        channel = echo_channel(server.address, retry_policy=IN_A_PAUSE)
        stub = pybrpc.Stub(ECHO, channel)
        if form == "future":
            call = stub.Echo.future(echo_request())
        else:
            call = in_thread(lambda: stub.Echo(echo_request()))
        wait_for(lambda: server.connections == 1)
        time.sleep(0.3)
        closed_at = time.monotonic()
        channel.close()
        wait_for(call.done)
        return time.monotonic() - closed_at


async def close_in_a_loop(server: ScriptedServer) -> float:
    channel = pybrpc.aio.Channel(server.address, timeout=PATIENT_S, retry_policy=IN_A_PAUSE)
    call = pybrpc.Stub(ECHO, channel).Echo(echo_request())
    while not server.connections:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    closed_at = time.monotonic()
    await channel.close()
    await asyncio.gather(call, return_exceptions=True)
    return time.monotonic() - closed_at


def seconds_that_paused_calls_outlive_their_channels() -> list[float]:
    calls = [
        in_thread(partial(seconds_that_a_paused_call_outlives_its_channel, form))
        for form in ("blocking", "future", "aio")
    ]
    return [call.result() for call in calls]


def test_call_in_a_retry_pause_ends_at_once_when_its_channel_is_closed() -> None:
    seconds = run_in_child(seconds_that_paused_calls_outlive_their_channels)
    assert max(seconds) < PAUSE_S / 2


async def leave_a_task(address: str) -> None:
    channel = pybrpc.aio.Channel(address, timeout=None)
    stub: Any = pybrpc.Stub(ECHO, channel)

    async def call() -> None:
        await stub.Echo(echo_request())

    leave_a_task.kept = asyncio.create_task(call())
    await asyncio.sleep(0.01)


async def leave_a_future(address: str) -> None:
    stub: Any = pybrpc.Stub(ECHO, pybrpc.aio.Channel(address, timeout=0.05))
    stub.Echo(echo_request())
    await asyncio.sleep(0.01)


async def close_the_channel(address: str) -> None:
    async with pybrpc.aio.Channel(address, timeout=0.05) as channel:
        stub: Any = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        await asyncio.sleep(0.01)


def close_the_loop_only(coroutine: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(coroutine)
    loop.close()


WAYS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "task is cancelled": (asyncio.run, leave_a_task),
    "future is left": (asyncio.run, leave_a_future),
    "channel is closed": (asyncio.run, close_the_channel),
    "task is left": (close_the_loop_only, leave_a_task),
}


def growth_by_loops_closed_during_a_call(way: str) -> list[int]:
    """How many descriptors and sources of connections twenty such loops leave.

    The server closes its end of a connection when the client does, a little later.
    """
    run, leave = WAYS[way]
    with ScriptedServer(never_answer) as server:
        run(leave(server.address))
        time.sleep(0.2)
        before = descriptors_and_sources()
        for _ in range(20):
            run(leave(server.address))
        gc.collect()
        waited_for(lambda: descriptors_and_sources() <= before, 5)
        after = descriptors_and_sources()
        return [max(0, after[i] - before[i]) for i in range(2)]


def descriptors_and_sources() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), len(default_runtime().connections)


@pytest.mark.parametrize("way", ["future is left", "task is left"])
def test_loop_that_is_closed_during_a_call_leaves_nothing(way: str) -> None:
    assert run_in_child(growth_by_loops_closed_during_a_call, way) == [0, 0]


def growth_by_loops_closed_after_their_calls() -> list[int]:
    ways = ("task is cancelled", "channel is closed")
    return [count for way in ways for count in growth_by_loops_closed_during_a_call(way)]


def test_loop_whose_calls_have_ended_before_it_is_closed_leaves_nothing() -> None:
    assert run_in_child(growth_by_loops_closed_after_their_calls) == [0, 0, 0, 0]
