"""Waiting in a task for something that another thread tells."""

from __future__ import annotations

from collections.abc import Callable

from pybrpc.server.http.response_stream import ResponseStream
from pybrpc.streams.loop_calls import LoopWait


async def wait_for_room(stream: ResponseStream) -> None:
    """Wait until more may be written into `stream`, or its connection has failed."""
    while not stream.has_room():
        await wait_until_woken(stream.when_room)


async def wait_until_woken(register: Callable[[Callable[[], object]], object]) -> None:
    """Give `register` a function, and wait until that is called, by any thread."""
    wait = LoopWait()
    register(wait.end)
    await wait.future
