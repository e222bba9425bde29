"""How a thread, or a task, waits until a Reconnecting has an open stream."""

from __future__ import annotations

import asyncio
import contextlib
import time

from pybrpc.base.deadline import remaining_s
from pybrpc.errors import WouldDeadlockError
from pybrpc.rtmp.client.reconnecting import Reconnecting
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.streams.loop_calls import LoopWait
from pybrpc.streams.thread_wait import ThreadWait
from pybrpc.transport.runtime import default_runtime


def wait_open(reconnecting: Reconnecting, deadline: float) -> RtmpStreamCore | None:
    """The open stream, or one that has frames; `None` at `deadline`. Errors as of `poll`."""
    dispatcher = default_runtime().dispatcher
    if dispatcher.is_current():
        raise WouldDeadlockError(
            "waiting for a connection inside a callback would wait for itself; use another thread"
        )
    while (core := reconnecting.poll(None)) is None:
        if time.monotonic() >= deadline:
            return None
        waiter = ThreadWait(dispatcher)
        try:
            if reconnecting.begin_wait(waiter):
                dispatcher.wait(waiter, min(deadline, reconnecting.next_at))
        finally:
            reconnecting.forget_wait(waiter)
    return core


async def until_open(reconnecting: Reconnecting, deadline: float) -> RtmpStreamCore | None:
    """As `wait_open`, in a task."""
    loop = asyncio.get_running_loop()
    while (core := reconnecting.poll(loop)) is None:
        if time.monotonic() >= deadline:
            return None
        wait = LoopWait()
        try:
            if reconnecting.begin_wait(wait):
                limit_s = remaining_s(min(deadline, reconnecting.next_at))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limit_s):
                        await wait.future
        finally:
            reconnecting.forget_wait(wait)
    return core
