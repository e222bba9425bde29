"""AsyncioDispatcher, beyond the contract of all dispatchers (tests/contract)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from tests.fakes.sockets import MakeWire, Outcomes, User
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
