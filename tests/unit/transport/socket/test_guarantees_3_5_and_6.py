"""Guarantees of the write path: 3, never waits; 5, no lost wake-up; 6, no user code while the
right is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf, cut_multiple_into_fd
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.fakes.sockets import (
    SMALL_BUFFER,
    MakeStep,
    MakeWire,
    Outcomes,
    User,
    UserMessage,
    Wire,
    fill,
    flush,
    write_instead,
)
from tests.fakes.threads import WAIT_S, in_threads
from tests.peers.loops import RUNS

# --- 3 ---


def test_guarantee_3_never_waits_for_a_peer_or_a_dispatcher_that_does_nothing(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    for _ in range(5000):
        wire.socket.start_write(IOBuf(bytes(1000)))
    assert wire.socket.statistics().backlog_bytes > 4_000_000


def test_guarantee_3_never_makes_more_than_one_system_call(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    calls: list[int] = []

    def counted(fd: int, bufs: list[IOBuf]) -> int:
        calls.append(fd)
        return cut_multiple_into_fd(fd, bufs)

    write_instead(monkeypatch, counted)
    wire.socket.start_write(IOBuf(bytes(1 << 20)))
    assert len(calls) == 1
    wire.socket.start_write(IOBuf(bytes(1 << 20)))
    assert len(calls) == 1


@pytest.mark.python_only
def test_guarantee_3_takes_as_many_steps_however_much_is_queued(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    fill(wire.socket)
    few = lines_run_by_a_write(wire)
    for _ in range(2000):
        wire.socket.start_write(IOBuf(b"queued"))
    assert lines_run_by_a_write(wire) == few


def lines_run_by_a_write(wire: Wire) -> int:
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        wire.socket.start_write(IOBuf(b"one more"))
    finally:
        sys.settrace(before)
    return lines


# --- 5 ---


@pytest.mark.parametrize("seed", range(30))
def test_guarantee_5_no_lost_wake_up_in_any_schedule(
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


def test_guarantee_5_no_lost_wake_up_when_two_writers_meet(
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
def test_guarantee_5_no_lost_wake_up_from_a_signal_handler_in_an_idle_loop(
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


# --- 6 ---


def test_guarantee_6_the_right_is_not_held_while_an_outcome_is_told(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(dispatcher)
    is_told, may_return = threading.Event(), threading.Event()

    def block(error: RpcError | None) -> None:
        is_told.set()
        assert may_return.wait(WAIT_S)

    blocked = threading.Thread(
        target=lambda: wire.socket.start_write(
            IOBuf(b"first"), on_outcome=block, notify_on_success=True
        )
    )
    blocked.start()
    assert is_told.wait(WAIT_S)
    wire.socket.start_write(IOBuf(b"second"))
    assert wire.receive(11) == b"firstsecond"
    may_return.set()
    blocked.join(WAIT_S)


@pytest.mark.parametrize("fails", [False, True])
def test_guarantee_6_an_outcome_sees_an_idle_queue(
    step: StepDispatcher, make_wire: MakeWire, fails: bool
) -> None:
    wire = make_wire(step)
    in_place: list[bool] = []

    def look(error: RpcError | None) -> None:
        step.clock.advance(1)
        before = wire.socket.statistics().written_in_place
        wire.socket.start_write(IOBuf(b"from the outcome"))
        in_place.append(wire.socket.statistics().written_in_place == before + 1)

    content = UserMessage(ValueError("no") if fails else b"yes")
    wire.socket.start_write(content, on_outcome=look, notify_on_success=True)
    assert in_place == [True]


def test_guarantee_6_an_outcome_of_a_writer_that_hands_the_right_on(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another message came while the first was written: the right is with the dispatcher then."""
    wire = make_wire(step)
    seen: list[bytes] = []

    def write_and_be_joined(fd: int, bufs: list[IOBuf]) -> int:
        write_instead(monkeypatch, cut_multiple_into_fd)
        wire.socket.start_write(IOBuf(b"second"))
        return cut_multiple_into_fd(fd, bufs)

    def run_the_dispatcher(error: RpcError | None) -> None:
        step.run_until_idle()
        wire.peer.setblocking(False)
        seen.append(wire.peer.recv(100))

    write_instead(monkeypatch, write_and_be_joined)
    wire.socket.start_write(IOBuf(b"first"), on_outcome=run_the_dispatcher, notify_on_success=True)
    assert seen == [b"firstsecond"]
