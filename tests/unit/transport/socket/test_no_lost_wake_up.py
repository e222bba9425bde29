"""Guarantee 5 of the write path: no wake-up is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.fakes.sockets import (
    SMALL_BUFFER,
    MakeStep,
    MakeWire,
    Outcomes,
    User,
    flush,
)
from tests.fakes.threads import WAIT_S, in_threads
from tests.peers.loops import RUNS


@pytest.mark.parametrize("seed", range(30))
def test_no_wake_up_is_lost_in_any_schedule(
    make_step: MakeStep, make_wire: MakeWire, seed: int
) -> None:
    rng = random.Random(seed)
    step = make_step(seed, flushes_at_turn_end=rng.random() < 0.5)
    wires = [make_wire(step, buffer_bytes=SMALL_BUFFER, user=User()) for _ in range(2)]
    told, count = Outcomes(), 0
    for wire in wires:
        wire.peer.setblocking(False)
    for _ in range(150):
        wire = rng.choice(wires)
        for _ in range(rng.choice((0, 1, 1, 5))):
            count += 1
            data = IOBuf(bytes(rng.choice((0, 9, 5000))))
            wire.socket.start_write(data, on_outcome=told, notify_on_success=True)
        if rng.random() < 0.5:
            step.step()
        if rng.random() < 0.2:
            with contextlib.suppress(BlockingIOError):
                wire.peer.recv(3000)
    for wire in wires:
        flush(wire, step)
    assert told.take(count) == [None] * count


def test_no_wake_up_is_lost_when_two_writers_meet(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(dispatcher)
    told, rounds = Outcomes(), 300
    barrier = threading.Barrier(2)

    def write(index: int) -> None:
        for _ in range(rounds):
            barrier.wait(WAIT_S)
            wire.socket.start_write(IOBuf(b"12345678"), on_outcome=told, notify_on_success=True)
            barrier.wait(WAIT_S)
            if index == 0:
                assert told.take(2) == [None, None]
                assert len(wire.receive(16)) == 16

    in_threads(2, write)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_no_wake_up_is_lost_from_a_signal_handler_in_an_idle_loop(
    make_wire: MakeWire, run: Any
) -> None:
    """Python runs the handler inside the loop's wait for events, which it does not end."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        wire = make_wire(AsyncioDispatcher(loop))
        over = loop.create_future()

        def write(*_: object) -> None:
            wire.socket.start_write(IOBuf(b"in place"))
            wire.socket.start_write(
                IOBuf(b"put off"),
                on_outcome=lambda error: over.done() or over.set_result(error),
                notify_on_success=True,
            )

        before = signal.signal(signal.SIGALRM, write)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            async with asyncio.timeout(10):
                assert await over is None
        finally:
            signal.signal(signal.SIGALRM, before)
            wire.socket.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    run(main())
