"""HandlerLoop: which calls share a task, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.server.running.handler_loop import HandlerLoop
from tests.fakes.server_calls import FakeServerCall, FakeServerConnection, Handler, quick, slow

WAIT_S = 30.0

pytestmark = pytest.mark.python_only


class Call(FakeServerCall):
    """One whose answer is written to a connection."""

    def __init__(self, handler: Handler, connection: FakeServerConnection) -> None:
        super().__init__(handler)
        self.connection = connection
        self.waits = handler is slow
        self.ended = 0
        self.released_before_write: list[bytes] | None = None
        self.written_before_end: list[bytes] = []

    def pack(self, controller: object, response: object) -> Any:
        self.outcome = self.outcome or response
        return IOBuf(f"{self.outcome};".encode())


def test_quick_calls_share_a_write_in_a_loop_of_the_application() -> None:
    async def main() -> None:
        loop, connection = HandlerLoop(asyncio.get_running_loop()), FakeServerConnection()
        handlers = (quick, quick, slow, quick)
        loop.start_calls([Call(handler, connection) for handler in handlers])  # type: ignore[misc]
        assert repr(loop) == f"<HandlerLoop of the application, {loop.task_count} tasks>"
        while len(b"".join(connection.written)) < 4 * len(b"quick;") - 1:
            await asyncio.sleep(0)
        assert connection.written[0] == b"quick;quick;"
        assert sorted(connection.written[1:]) == [b"quick;", b"slow;"]
        loop.close()
        loop.close()
        await asyncio.sleep(0)
        assert loop.task_count == 0
        assert ", closed>" in repr(loop)
        loop.join()

    asyncio.run(main())


def test_calls_are_answered_in_a_loop_of_its_own() -> None:
    loop, connection, over = HandlerLoop(), FakeServerConnection(), threading.Event()

    async def last() -> str:
        over.set()
        return "last"

    loop.start_calls([Call(handler, connection) for handler in (quick, slow, last)])  # type: ignore[misc]
    assert over.wait(WAIT_S)
    assert "in a thread of its own" in repr(loop)
    loop.close()
    loop.join()
    assert sorted(b"".join(connection.written).split(b";")) == [b"", b"last", b"quick", b"slow"]
    loop.start_calls([Call(quick, connection)])  # type: ignore[list-item]


def test_running_task_is_cancelled_when_the_loop_closes() -> None:
    began = threading.Event()

    async def endless() -> None:
        began.set()
        await asyncio.sleep(3600)

    loop, connection = HandlerLoop(), FakeServerConnection()
    call = Call(endless, connection)
    loop.start_calls([call])  # type: ignore[list-item]
    assert began.wait(WAIT_S)
    loop.close()
    loop.join()
    assert call.outcome == "failed: CancelledError"
    assert connection.written == [b"failed: CancelledError;"]
