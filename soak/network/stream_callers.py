"""Callers over streams: each message that is echoed is a call of the book."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from bench.echo_messages import EchoRequest
from pybrpc.errors import RpcError
from soak.network.callers import PAUSE_S, Stop, TaskCallers, ThreadCallers
from soak.network.load import CallBook, Load, NumberedCall
from soak.streams.script import BlockingStream, run_blocking

STREAM = "stream of "
"""Before the name of the call, in the request that opens a stream."""
BURSTS = 20
"""Bursts of messages, of the load's `window` each, after which a stream is closed."""


class Talk:
    """Sends bursts of messages over one stream, and receives them again."""

    def __init__(self, load: Load, book: CallBook, source: random.Random, stop: Stop) -> None:
        self._load = load
        self._book = book
        self._source = source
        self._stop = stop

    def opening(self) -> NumberedCall:
        """The call that opens the stream."""
        call = NumberedCall(self._source, self._load, self._book)
        call.request.message = STREAM + call.request.message
        return call

    async def run(self, stream: Any, reset: Callable[[], None]) -> None:
        """Ends the stream. For threads `stream` blocks."""
        for _ in range(BURSTS):
            if self._stop.is_set() or not await self._burst(stream, reset):
                break
        try:
            await stream.close(1.0)
        except RpcError:
            reset()

    async def _burst(self, stream: Any, reset: Callable[[], None]) -> bool:
        """Whether all messages have come back."""
        calls = [
            NumberedCall(self._source, self._load, self._book) for _ in range(self._load.window)
        ]
        waiting = list(calls)
        try:
            await stream.send_many([message_of(call) for call in calls], calls[0].timeout_s)
            while waiting:
                message = EchoRequest.FromString(await stream.recv(waiting[0].timeout_s))
                waiting[0].controller.response_attachment = message.payload
                waiting.pop(0).on_answer(message)
        except Exception as error:
            reset()
            for call in waiting:
                call.on_failure(error)
            return False
        return True


def message_of(call: NumberedCall) -> bytes:
    """The call as a message of a stream."""
    payload = bytes(call.controller.request_attachment)
    message: bytes = EchoRequest(message=call.request.message, payload=payload).SerializeToString()
    return message


class StreamThreadCallers(ThreadCallers):
    """In threads."""

    def _call(self, echo: Any, number: int) -> None:
        source = random.Random(f"{self._seed}/{number}")
        talk = Talk(self._load, self._book, source, self._stop)
        while not self._stop.is_set():
            opening = talk.opening()
            call = echo.stream(
                opening.request, timeout=opening.timeout_s, controller=opening.controller
            )
            try:
                call.open()
            except Exception as error:
                opening.on_failure(error)
                self._stop.wait(PAUSE_S)
                continue
            opening.on_answer(call.response)
            run_blocking(talk.run(BlockingStream(call.stream), call.reset))


class StreamTaskCallers(TaskCallers):
    """In tasks."""

    async def _work(self, echo: Any, number: int) -> None:
        source = random.Random(f"{self._seed}/{number}")
        talk = Talk(self._load, self._book, source, self._stop)
        while not self._stop.is_set():
            opening = talk.opening()
            call = echo.stream(
                opening.request, timeout=opening.timeout_s, controller=opening.controller
            )
            try:
                await call.open()
            except Exception as error:
                opening.on_failure(error)
                await asyncio.sleep(PAUSE_S)
                continue
            opening.on_answer(call.response)
            await talk.run(call.stream, call.reset)
