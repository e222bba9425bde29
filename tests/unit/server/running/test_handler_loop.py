"""HandlerLoop: which calls share a task, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import Any, cast

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.running.handler_loop import ROUND_CALLS, ROUND_S, HandlerLoop
from tests.fakes.server_calls import (
    FakeInvoker,
    FakeServerCall,
    FakeServerConnection,
    Handler,
    quick,
    slow,
)

WAIT_S = 30.0

pytestmark = pytest.mark.python_only


class Call(FakeServerCall):
    """One whose answer is written to a connection."""

    def __init__(self, handler: Handler, connection: FakeServerConnection) -> None:
        super().__init__(handler)
        self.connection = connection
        self.waits = handler is slow
        self.ended = 0

    def pack(self, controller: object, response: object) -> Any:
        self.outcome = self.outcome or response
        return IOBuf(f"{self.outcome};".encode())


def new_loop(loop: asyncio.AbstractEventLoop | None = None) -> HandlerLoop:
    return HandlerLoop(cast(Any, FakeInvoker()), loop)


def test_quick_calls_share_a_write_in_a_loop_of_the_application() -> None:
    async def main() -> None:
        loop, connection = new_loop(asyncio.get_running_loop()), FakeServerConnection()
        handlers = (quick, quick, slow, quick)
        loop.start_calls(CallQueue(), [Call(handler, connection) for handler in handlers])  # type: ignore[misc]
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
    loop, connection, over = new_loop(), FakeServerConnection(), threading.Event()

    async def last() -> str:
        over.set()
        return "last"

    loop.start_calls(CallQueue(), [Call(handler, connection) for handler in (quick, slow, last)])  # type: ignore[misc]
    assert over.wait(WAIT_S)
    assert "in a thread of its own" in repr(loop)
    loop.close()
    loop.join()
    assert sorted(b"".join(connection.written).split(b";")) == [b"", b"last", b"quick", b"slow"]
    loop.start_calls(CallQueue(), [Call(quick, connection)])  # type: ignore[list-item]


def test_running_task_is_cancelled_when_the_loop_closes() -> None:
    began = threading.Event()

    async def endless() -> None:
        began.set()
        await asyncio.sleep(3600)

    loop, connection = new_loop(), FakeServerConnection()
    call = Call(endless, connection)
    loop.start_calls(CallQueue(), [call])  # type: ignore[list-item]
    assert began.wait(WAIT_S)
    loop.close()
    loop.join()
    assert call.outcome == "failed: CancelledError"
    assert connection.written == [b"failed: CancelledError;"]


def calls_of(
    connection: FakeServerConnection, handlers: list[Handler], mean_s: float = 0.00001
) -> list[Any]:
    """Calls of one connection, which has a queue for them."""
    connection.async_calls = connection.async_calls or CallQueue()
    calls = [Call(handler, connection) for handler in handlers]
    for call in calls:
        call.mean_s = mean_s
    return calls


def begun_in_rounds(calls: list[list[Any]]) -> list[int]:
    """How many calls have begun after each round of a loop, when they are started in one turn.

    Each list is of one connection.
    """
    counts: list[int] = []

    async def main() -> None:
        loop = new_loop(asyncio.get_running_loop())
        for some in calls:
            loop.start_calls(some[0].connection.async_calls, some)
        total = sum(map(len, calls))
        while not counts or counts[-1] < total:
            await asyncio.sleep(0)
            counts.append(sum(call.outcome is not None for some in calls for call in some))

    asyncio.run(main())
    return counts


@pytest.mark.parametrize("handler", [quick, slow])
def test_calls_of_one_connection_begin_in_bounded_rounds(handler: Handler) -> None:
    counts = begun_in_rounds([calls_of(FakeServerConnection(), [handler] * 1000)])
    steps = [later - sooner for sooner, later in itertools.pairwise(counts)]
    assert max(steps) <= ROUND_CALLS
    # Tasks that begin at once, as since Python 3.12, begin the first round inside the turn.
    assert len(counts) >= 1000 // ROUND_CALLS - 1


def test_calls_that_may_take_long_begin_one_in_a_round() -> None:
    calls = calls_of(FakeServerConnection(), [slow] * 20, mean_s=2 * ROUND_S)
    counts = begun_in_rounds([calls])
    steps = [later - sooner for sooner, later in itertools.pairwise(counts)]
    assert max(steps) == 1


def test_connections_begin_their_calls_in_turn() -> None:
    greedy = calls_of(FakeServerConnection(), [quick] * 1000, mean_s=ROUND_S)
    polite = calls_of(FakeServerConnection(), [quick])
    order: list[str] = []

    async def note_greedy() -> str:
        order.append("greedy")
        return "quick"

    async def note_polite() -> str:
        order.append("polite")
        return "quick"

    for call in greedy:
        call.handler = note_greedy
    polite[0].handler = note_polite
    begun_in_rounds([greedy, polite])
    assert order.index("polite") < 5


def test_calls_behind_one_that_waits_begin_in_their_order() -> None:
    connection, order = FakeServerConnection(), list[int]()

    def numbered(number: int) -> Handler:
        async def handle() -> str:
            order.append(number)
            if number % 3 == 0:
                await asyncio.sleep(0)
            return f"{number}"

        return handle

    calls = calls_of(connection, [numbered(number) for number in range(50)])
    for call in calls:
        call.waits = False
    begun_in_rounds([calls])
    assert order == list(range(50))
    assert sorted(map(int, b"".join(connection.written).split(b";")[:-1])) == order


def test_tasks_of_some_calls_are_cancelled() -> None:
    async def endless() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        loop, connection = new_loop(asyncio.get_running_loop()), FakeServerConnection()
        gone = calls_of(connection, [endless] * (2 * ROUND_CALLS + 5))
        kept = calls_of(connection, [endless] * 3)
        loop.start_calls(CallQueue(), [*gone, *kept])
        while loop.task_count < len(gone) + len(kept):
            await asyncio.sleep(0)
        loop.cancel(list(gone), "its connection failed")
        while loop.task_count > len(kept):
            await asyncio.sleep(0)
        assert {call.outcome for call in gone} == {"failed: CancelledError"}
        assert {call.outcome for call in kept} == {None}
        loop.close()
        while loop.task_count:
            await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize("cancel_handlers", [True, False])
def test_call_is_cancelled_at_its_deadline_and_others_leave_no_timer(cancel_handlers: bool) -> None:
    async def endless() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        loop, connection = new_loop(asyncio.get_running_loop()), FakeServerConnection()
        answered = calls_of(connection, [slow, quick] * 3)
        late = calls_of(connection, [endless] * 2)
        for call in (*answered, *late):
            call.cancel_handlers = cancel_handlers
            call.deadline = time.monotonic() + (60 if call in answered else 0.02)
        loop.start_calls(CallQueue(), [*answered, *late])
        left = [*answered, *late] if cancel_handlers else answered
        while None in [call.outcome for call in left]:
            await asyncio.sleep(0)
        assert {call.outcome for call in answered} == {"slow", "quick"}
        await asyncio.sleep(0.05)
        expected = "failed: CancelledError" if cancel_handlers else None
        assert {call.outcome for call in late} == {expected}
        assert sum(map(len, loop._timeouts._queues.values())) == 0
        loop.close()
        while loop.task_count:
            await asyncio.sleep(0)

    asyncio.run(main())


def test_calls_are_answered_when_their_own_loop_is_closed_under_them() -> None:
    async def endless() -> None:
        began.set()
        await asyncio.sleep(3600)

    began, connection = threading.Event(), FakeServerConnection()
    loop = new_loop()
    (call,) = calls_of(connection, [endless])
    loop.start_calls(CallQueue(), [call])
    assert began.wait(WAIT_S)
    thread, inner = loop._thread, loop._loop
    assert thread is not None
    on_restart = thread._on_restart

    def close_and_restart() -> None:
        thread._on_restart = on_restart
        inner.close()

    while call.task is None:
        threading.Event().wait(0.001)
    call.task._log_destroy_pending = False
    thread._on_restart = close_and_restart
    inner.call_soon_threadsafe(inner.stop)
    while call.outcome is None:
        threading.Event().wait(0.001)
    assert call.outcome == "refused: EINTERNAL"
    (late,) = calls_of(connection, [quick])
    loop.start_calls(CallQueue(), [late])
    while late.outcome is None:
        threading.Event().wait(0.001)
    loop.close()
    loop.join()
    assert late.outcome == "quick"


def test_calls_end_when_the_loop_of_the_application_was_closed() -> None:
    async def endless() -> None:
        await asyncio.sleep(3600)

    made: list[HandlerLoop] = []
    connection = FakeServerConnection()
    (call,) = calls_of(connection, [endless])

    async def main() -> None:
        made.append(new_loop(asyncio.get_running_loop()))
        made[0].start_calls(CallQueue(), [call])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.task._log_destroy_pending = False

    application = asyncio.new_event_loop()
    application.run_until_complete(main())
    application.close()
    made[0].close()
    assert (call.outcome, made[0].task_count) == ("ended", 0)
    (late,) = calls_of(connection, [quick])
    made[0].start_calls(CallQueue(), [late])
    assert late.outcome == "refused: EINTERNAL"


def test_call_behind_calls_that_get_no_task_is_refused_with_them() -> None:
    async def main() -> None:
        running, connection = asyncio.get_running_loop(), FakeServerConnection()
        loop = new_loop(running)

        def fail() -> Any:
            raise MemoryError

        cast(Any, loop._invoker).new_context = fail
        calls = calls_of(connection, [quick, slow])
        with pytest.raises(MemoryError):
            loop.start_calls(connection.async_calls, calls)
        assert [call.outcome for call in calls] == ["refused: EINTERNAL"] * 2

    asyncio.run(main())


def test_loop_ends_though_a_call_was_left_by_its_task() -> None:
    loop, connection = new_loop(), FakeServerConnection()
    (call,) = calls_of(connection, [quick])
    kept = threading.Event()

    async def keep() -> None:
        call.task = asyncio.create_task(asyncio.sleep(0))
        await call.task
        loop.keep(call, time.monotonic())
        kept.set()

    asyncio.run_coroutine_threadsafe(keep(), loop.loop)
    assert kept.wait(WAIT_S)
    loop.close()
    loop.join(time.monotonic() + WAIT_S)
    assert loop._thread is not None
    assert not loop._thread._thread.is_alive()
    assert (call.outcome, loop.task_count) == ("refused: EINTERNAL", 0)
