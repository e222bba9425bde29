"""The script that a side of a stream follows, once for threads and tasks.

It is a coroutine. Tasks await it; a thread runs it with a BlockingStream, whose methods never
suspend it: they block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pybrpc.errors import RpcError, StreamClosedError
from soak.streams.book import Side
from soak.streams.numbered import pack
from soak.streams.plan import HALF_WAY, MOST_PAUSED_S, SidePlan

STEP_S = 3.0
"""A step that takes longer is given up, and the stream reset."""
HANG_S = 20.0
"""How long `on_closed` may take to be called."""
POLL_S = 0.005

Pause = Callable[[float], Awaitable[None]]


class BlockingStream:
    """A Stream for threads with the methods of an AioStream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stream, name)

        async def call(*arguments: Any) -> Any:
            return method(*arguments)

        return call

    def batches(self, *arguments: Any) -> BlockingIterator:
        return BlockingIterator(self._stream.batches(*arguments))

    def __aiter__(self) -> BlockingIterator:
        return BlockingIterator(iter(self._stream))


class BlockingIterator:
    """An asynchronous iterator that blocks."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __aiter__(self) -> BlockingIterator:
        return self

    async def __anext__(self) -> Any:
        for item in self._iterator:
            return item
        raise StopAsyncIteration


async def blocking_pause(seconds: float) -> None:
    time.sleep(seconds)


def run_blocking(script: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that blocks and never suspends."""
    try:
        script.send(None)
    except StopIteration:
        return
    script.close()
    raise RuntimeError(f"{script!r} has suspended itself")


class Script:
    """The steps of one side of one stream. `reset` is that of the stream, and never blocks."""

    def __init__(self, stream: Any, side: Side, reset: Callable[[], None], pause: Pause) -> None:
        self._stream = stream
        self._side = side
        self._reset = reset
        self._pause = pause
        self._paused_s = 0.0

    @property
    def _theirs(self) -> SidePlan:
        plan = self._side.call.plan
        return plan.server if self._side.is_client else plan.client

    @property
    def _is_first(self) -> bool:
        return self._side.call.plan.client_is_first == self._side.is_client

    async def run(self) -> None:
        """All of it but an end that its caller makes, by `leave` or `raise`. Ends the stream if it
        has failed."""
        await self._guarded(self._run())

    async def run_reply(self) -> None:
        """As `run`, after functions have received all."""
        await self._guarded(self._reply())

    async def _guarded(self, steps: Coroutine[Any, Any, None]) -> None:
        try:
            await steps
        except RpcError as error:
            self._side.on_error(error)
            self._side.may_reset = True
            self._reset()
        except BaseException:
            self._side.may_reset = True
            self._reset()
            raise

    async def _run(self) -> None:
        plan = self._side.plan
        if await self._ended_half_way():
            return
        if not plan.has_functions and not self._is_first:
            await self._receive()
            await self._send(len(plan.sizes))
        else:
            await self._send(len(plan.sizes))
            await self._receive()
        await self._end()

    async def _reply(self) -> None:
        if not await self._ended_half_way():
            await self._send(len(self._side.plan.sizes))
            await self._end()

    async def _ended_half_way(self) -> bool:
        """Whether the plan does not go to the end."""
        side, plan = self._side, self._side.plan
        if plan.end not in HALF_WAY:
            return False
        await self._send(max(side.sent, len(plan.sizes) // 2))
        side.may_reset = True
        if plan.end == "reset":
            self._reset()
        return True

    async def _send(self, count: int) -> None:
        """Send messages, so that `count` are sent together with those before."""
        side, plan = self._side, self._side.plan
        if plan.sends_many:
            messages = [self._message(number) for number in range(side.sent, count)]
            if messages:
                await self._note(self._stream.send_many(messages, STEP_S), len(messages))
            return
        for number in range(side.sent, count):
            await self._note(self._stream.send(self._message(number), STEP_S), 1)

    def _message(self, number: int) -> bytes:
        side = self._side
        assert side.index is not None
        size = side.plan.sizes[number]
        return pack(side.call.number, side.index, side.is_client, number, size)

    async def _note(self, sending: Awaitable[None], count: int) -> None:
        self._side.tried += count
        await sending
        self._side.on_sent(count)

    async def _receive(self) -> None:
        """Receive all that the other side is to send."""
        side, expected = self._side, len(self._theirs.sizes)
        if side.plan.has_functions:
            end = time.monotonic() + STEP_S
            while side.received < expected and not side.ended and time.monotonic() < end:
                await self._pause(POLL_S)
        elif side.plan.receiving == "recv":
            while side.received < expected:
                await self._take([await self._recv()])
        elif side.plan.receiving == "batches":
            while side.received < expected:
                async for batch in self._stream.batches(expected - side.received, STEP_S):
                    await self._take(batch)
                    break
                else:
                    side.on_clean_end()
                    return
        elif side.received < expected:
            async for message in self._stream:
                await self._take([message])
                if side.received == expected:
                    return
            side.on_clean_end()

    async def _recv(self) -> bytes:
        try:
            message: bytes = await self._stream.recv(STEP_S)
        except StreamClosedError:
            self._side.on_clean_end()
            raise
        return message

    async def _take(self, messages: list[bytes]) -> None:
        """Messages have come; be slow, if the plan says so."""
        self._side.on_received(messages)
        seconds = self._side.plan.pause_s
        if seconds and self._paused_s < MOST_PAUSED_S:
            self._paused_s += seconds
            await self._pause(seconds)

    async def _end(self) -> None:
        side, plan = self._side, self._side.plan
        # Two sides that take turns must not both wait: each one's last message counts as consumed
        # when it comes back to receive, or closes.
        comes_back = self._theirs.has_functions or not self._is_first
        if plan.window > 0 and comes_back:
            await self._stream.wait_consumed(STEP_S)
            side.on_all_arrived("wait_consumed")
        if plan.end == "wait":
            if plan.has_functions:
                return
            while True:
                try:
                    await self._take([await self._recv()])
                except StreamClosedError:
                    return
        side.is_closing = True
        await self._stream.close(STEP_S)


async def wait_ended(stream: Any, side: Side, reset: Callable[[], None], pause: Pause) -> None:
    """Wait until the stream is over and `on_closed` was called; reset it if that takes too long."""
    try:
        await stream.wait_closed(STEP_S)
    except RpcError as error:
        side.on_error(error)
        side.may_reset = True
        reset()
    end = time.monotonic() + HANG_S
    while not side.ended and time.monotonic() < end:
        await pause(POLL_S)


async def loop_pause(seconds: float) -> None:
    await asyncio.sleep(seconds)
