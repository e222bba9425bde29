"""AsyncioDispatcher, beyond the contract of all dispatchers (tests/contract)."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch import asyncio_dispatcher
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.dispatch.step_queue import FunctionWork
from tests.fakes.sockets import MakeWire, Outcomes, User
from tests.fakes.threads import WAIT_S
from tests.peers.loops import RUNS

Run = Callable[[Coroutine[Any, Any, object]], object]


@pytest.fixture(params=RUNS.values(), ids=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def test_is_current_is_true_only_inside_the_loop(run: Run) -> None:
    async def main() -> AsyncioDispatcher:
        dispatcher = AsyncioDispatcher(asyncio.get_running_loop())
        assert dispatcher.is_current()
        assert not await asyncio.to_thread(dispatcher.is_current)
        return dispatcher

    dispatcher = run(main())
    assert isinstance(dispatcher, AsyncioDispatcher)
    assert not dispatcher.is_current()


def test_closed_loop_refuses_posts_and_timers(run: Run) -> None:
    async def main() -> AsyncioDispatcher:
        return AsyncioDispatcher(asyncio.get_running_loop())

    dispatcher = run(main())
    assert isinstance(dispatcher, AsyncioDispatcher)
    with pytest.raises(DispatcherClosedError, match="AsyncioDispatcher of"):
        dispatcher.post(lambda: None)
    with pytest.raises(DispatcherClosedError):
        dispatcher.call_at(time.monotonic(), lambda: None)
    dispatcher.remove_reader(0)
    dispatcher.remove_writer(0)


def test_timer_that_a_signal_handler_sets_ends_the_wait_of_the_loop(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        dispatcher, ran = AsyncioDispatcher(loop), loop.create_future()

        def on_signal(*_: object) -> None:
            dispatcher.call_at(time.monotonic() + 0.01, lambda: ran.set_result(None))

        earlier = signal.signal(signal.SIGALRM, on_signal)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            await asyncio.wait_for(ran, WAIT_S)
        finally:
            signal.signal(signal.SIGALRM, earlier)

    run(main())


def test_writes_of_many_tasks_in_one_turn_make_two_system_calls(
    run: Run, make_wire: MakeWire
) -> None:
    """The first write of a turn goes out at once, the others together."""

    async def main() -> None:
        wire = make_wire(AsyncioDispatcher(asyncio.get_running_loop()))
        outcomes = Outcomes()

        async def write(number: int) -> None:
            wire.socket.start_write(
                IOBuf(b"%02d" % number), on_outcome=outcomes, notify_on_success=True
            )

        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(write(number))
        while outcomes.untaken < 50:
            await asyncio.sleep(0)
        assert wire.receive(100) == b"".join(b"%02d" % number for number in range(50))
        assert wire.socket.statistics().writes == 2
        wire.socket.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(main())


def test_sockets_can_be_closed_after_their_loop_has_ended(run: Run, make_wire: MakeWire) -> None:
    user, outcomes = User(), Outcomes()

    async def main() -> object:
        wire = make_wire(AsyncioDispatcher(asyncio.get_running_loop()), user=user)
        wire.socket.start_write(IOBuf(bytes(1 << 24)), on_outcome=outcomes)
        await asyncio.sleep(0.01)
        return wire

    wire: Any = run(main())
    wire.socket.close()
    assert outcomes.untaken == user.errors.qsize() == 1
    assert (wire.socket.fd, wire.socket.backlog.size_bytes) == (-1, 0)


Register = Callable[[AsyncioDispatcher, socket.socket, Callable[[], None]], object]

WAYS: dict[str, Register] = {
    "post": lambda dispatcher, sock, function: dispatcher.post(function),
    "complete": lambda dispatcher, sock, function: dispatcher.complete(
        FunctionWork(lambda _: function(), None, "a test")
    ),
    "call_at": lambda dispatcher, sock, function: dispatcher.call_at(time.monotonic(), function),
    "add_reader": lambda dispatcher, sock, function: dispatcher.add_reader(sock.fileno(), function),
    "add_writer": lambda dispatcher, sock, function: dispatcher.add_writer(sock.fileno(), function),
}


@pytest.mark.parametrize("from_task", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_function_does_not_see_the_context_in_which_it_was_registered(
    run: Run, way: str, from_task: bool
) -> None:
    """Else a connection would keep the context of the handler whose call has made it."""
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = AsyncioDispatcher(loop)
        seen: list[str] = []
        was_called = asyncio.Event()
        ours, theirs = socket.socketpair()
        theirs.send(b"x")

        def note() -> None:
            dispatcher.remove_reader(ours.fileno())
            dispatcher.remove_writer(ours.fileno())
            seen.append(variable.get())
            was_called.set()

        def register() -> None:
            variable.set("mine")
            WAYS[way](dispatcher, ours, note)

        with ours, theirs:
            if from_task:
                register()
            else:
                loop.call_soon(register)
            await was_called.wait()
        assert seen == [""]

    run(main())


def test_timer_that_is_set_again_and_again_does_not_run_before_its_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under a fake clock, and as one that is due after more than a day."""
    monkeypatch.setattr(asyncio_dispatcher, "LONGEST_TIMER_S", 0.002)

    async def main() -> None:
        dispatcher = AsyncioDispatcher(asyncio.get_running_loop())
        ran_at = asyncio.get_running_loop().create_future()
        deadline = time.monotonic() + 0.05
        dispatcher.call_at(deadline, lambda: ran_at.set_result(time.monotonic()))
        cancelled = dispatcher.call_at(deadline, lambda: pytest.fail("it was cancelled"))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        assert await ran_at >= deadline - asyncio_dispatcher.EARLY_S

    run(main())
