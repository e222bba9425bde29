"""Loops that are closed while calls are in flight in them: the next loop closes what they left."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.lowlevel import default_runtime
from tests.fakes.sockets import unused_endpoint
from tests.peers.echo import ECHO, echo_request
from tests.peers.loops import LOOPS
from tests.peers.scripted_server import ScriptedServer, never_answer

IN_A_PAUSE = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=30, max_s=30, jitter=0))

WAYS: dict[str, dict[str, Any]] = {
    "single": {},
    "pooled": {"connection_type": "pooled"},
    "several": {"connections": 2},
    "short": {"connection_type": "short"},
    "with a backup request": {"backup_request_ms": 1},
    "in a pause": {"retry_policy": IN_A_PAUSE},
    "waits until ready": {"wait_for_ready": True},
}
UNREACHABLE = {"in a pause", "waits until ready"}


def leave_calls(new_loop: Callable[[], asyncio.AbstractEventLoop], address: str, way: str) -> Any:
    """Close a loop with calls in flight; a weak reference to the loop."""

    async def leave() -> None:
        channel = pybrpc.aio.Channel(address, timeout=None, **WAYS[way])
        stub: Any = pybrpc.Stub(ECHO, channel)
        for _ in range(3):
            stub.Echo(echo_request())
        await asyncio.sleep(0.02)

    loop = new_loop()
    loop.run_until_complete(leave())
    loop.close()
    return weakref.ref(loop)


@pytest.mark.parametrize("new_loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("way", WAYS)
def test_loop_that_is_closed_during_calls_is_freed_with_its_connections(
    new_loop: Callable[[], asyncio.AbstractEventLoop], way: str
) -> None:
    before = len(default_runtime().connections)
    with ScriptedServer(never_answer) as server:
        address = str(unused_endpoint()) if way in UNREACHABLE else server.address
        loops = [leave_calls(new_loop, address, way) for _ in range(5)]
        for _ in range(4):  # finalizers of the first pass release objects for the next ones
            gc.collect()
        assert [loop() is None for loop in loops[:-1]] == [True] * 4
        assert len(default_runtime().connections) <= before + 1
