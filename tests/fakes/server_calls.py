"""Fakes around a ServerCall: the call, its connection and its HandlerLoop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf

Handler = Callable[[], Coroutine[Any, Any, Any]]


class FakeServerCall:
    """A ServerCall whose handler the test has written; notes how it was answered."""

    def __init__(self, handler: Handler, name: str = "S.M") -> None:
        self.entry = self
        self.full_name = name
        self.waits = False
        self.outcome: Any = None
        self._handler = handler

    def make_controller(self) -> FakeServerCall:
        return self

    def call_handler(self, controller: object) -> Coroutine[Any, Any, Any]:
        return self._handler()

    def fail(self, controller: object, error: BaseException) -> None:
        self.outcome = f"failed: {type(error).__name__}"

    def pack(self, controller: object, response: object) -> Any:
        self.outcome = self.outcome or response
        return self.outcome

    def end(self) -> None:
        self.outcome = "ended"


class FakeHandlerLoop:
    """A HandlerLoop that notes what is answered at once, and what together with others."""

    def __init__(self) -> None:
        self.at_once: list[Any] = []
        self.together: list[Any] = []
        self.left: list[Any] = []

    def answer(self, call: object, data: Any) -> None:
        self.at_once.append(data)

    def put(self, call: object, data: Any) -> None:
        self.together.append(data)

    def end_round(self, left: deque[Any]) -> None:
        self.left += left
        left.clear()


async def quick() -> str:
    return "quick"


async def slow() -> str:
    await asyncio.sleep(0)
    return "slow"


class FakeServerConnection:
    """A connection and its socket. Notes what was written before calls are released and end."""

    def __init__(self, error: RpcError | None = None) -> None:
        self.socket = self
        self.written: list[bytes] = []
        self.error = error

    def start_write(self, data: IOBuf, *, ignore_eovercrowded: bool) -> None:
        if self.error is not None:
            raise self.error
        assert ignore_eovercrowded
        self.written.append(bytes(data))

    def release_limits(self, calls: list[Any]) -> None:
        for call in calls:
            call.released_before_write = list(self.written)

    def end(self, calls: list[Any]) -> None:
        for call in calls:
            call.ended += 1
            call.written_before_end = list(self.written)
