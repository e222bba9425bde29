"""Fakes around a ServerCall: the call, its connection and its HandlerLoop."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from pybrpc.base.deadline import NEVER
from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf

Handler = Callable[[], Coroutine[Any, Any, Any]]


class FakeServerCall:
    """A ServerCall whose handler the test has written; notes how it was answered."""

    def __init__(self, handler: Handler, name: str = "S.M") -> None:
        self.entry = self
        self.name = name
        self.waits = False
        self.mean_s = 0.00001
        self.outcome: Any = None
        self.task: Any = None
        self.is_unwanted = False
        self.late_answer: Any = None
        self.deadline = NEVER
        self.form: Any = None
        self.cancel_handlers = True
        self.served: Any = None
        self.handler = handler
        self.has_ended_serving = False

    def make_controller(self) -> FakeServerCall:
        return self

    def full_name(self) -> str:
        return self.name

    def note_duration(self, seconds: float) -> None: ...

    def fail(self, controller: object, error: BaseException) -> None:
        self.outcome = f"failed: {type(error).__name__}"

    def pack(self, controller: object, response: object) -> Any:
        self.outcome = self.outcome or response
        return self.outcome

    def end(self) -> None:
        self.outcome = "ended"

    def end_serving(self) -> None:
        self.has_ended_serving = True

    def cancel_handler(self, reason: str) -> None:
        self.task.cancel(reason)

    def expire(self) -> bool:
        self.cancel_handler("late")
        return True

    def give_up(self) -> None: ...


class FakeInvoker:
    """An Invoker of FakeServerCalls, each of which calls its handler without arguments."""

    def __init__(self) -> None:
        self.context = contextvars.copy_context()

    def new_context(self) -> contextvars.Context:
        return self.context.copy()

    def call_handler(self, call: FakeServerCall, controller: object) -> Coroutine[Any, Any, Any]:
        return call.handler()

    def answer_if_late(self, call: FakeServerCall, now: float) -> Any:
        return call.late_answer

    def ends_unrun(self, call: FakeServerCall) -> bool:
        if call.is_unwanted:
            call.end()
        return call.is_unwanted

    def refuse(self, call: FakeServerCall, error: RpcError) -> None:
        call.outcome = f"refused: {error.name}"


class FakeHandlerLoop:
    """A HandlerLoop that notes what is answered at once, and what together with others."""

    def __init__(self) -> None:
        self.at_once: list[Any] = []
        self.together: list[Any] = []
        self.left: list[Any] = []
        self.kept: set[Any] = set()
        self.timeout_queue: Any = None

    def answer(self, call: object, data: Any) -> None:
        self.at_once.append(data)

    def put(self, call: object, data: Any) -> None:
        self.together.append(data)

    def end_round(self, left: deque[Any]) -> None:
        self.left += left
        left.clear()

    def keep(self, call: FakeServerCall, now: float) -> Any:
        assert call.task is not None
        self.kept.add(call)
        return self.timeout_queue

    def forget(self, call: FakeServerCall) -> None:
        self.kept.remove(call)

    def drop(self, call: FakeServerCall) -> None:
        call.end()


async def quick() -> str:
    return "quick"


async def slow() -> str:
    await asyncio.sleep(0)
    return "slow"


class FakeServerConnection:
    """A connection that notes what is written, and ends each call after that."""

    def __init__(self) -> None:
        self.async_calls: Any = None
        self.plain_calls: Any = None
        self.written: list[bytes] = []

    def end(self, calls: list[Any], data: IOBuf | None = None) -> None:
        if data is not None:
            self.written.append(bytes(data))
        for call in calls:
            call.ended += 1
