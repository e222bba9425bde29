"""Guarantees of the write path: 3, never waits; 4, re-entrant; 5, no lost wake-up; 6, no user code
while the right is held.
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
import uvloop

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport import writer as writer_module
from pybrpc.transport.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.event_dispatcher import EventDispatcher
from tests.unit.transport.conftest import MakeStep, MakeWire
from tests.unit.transport.tools import (
    CROWDED_AT_1000,
    SMALL_BUFFER,
    WAIT_S,
    Outcomes,
    User,
    UserMessage,
    Wire,
    by_producer,
    fill,
    frame,
    frames_of,
    in_threads,
)

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
    real = writer_module.cut_multiple_into_fd

    def counted(fd: int, bufs: list[IOBuf]) -> int:
        calls.append(fd)
        return real(fd, bufs)

    monkeypatch.setattr(writer_module, "cut_multiple_into_fd", counted)
    wire.socket.start_write(IOBuf(bytes(1 << 20)))
    assert len(calls) == 1
    wire.socket.start_write(IOBuf(bytes(1 << 20)))
    assert len(calls) == 1


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


# --- 4 ---


class Interruption:
    """Calls a function once, at the n-th bytecode of pybrpc.transport that this thread runs."""

    def __init__(self, moment: int, function: Any) -> None:
        self.left = moment
        self.function = function

    def __enter__(self) -> Interruption:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if "/transport/" not in frame.f_code.co_filename or "test" in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.function()
        return self._trace

    @property
    def happened(self) -> bool:
        return self.left <= 0


@pytest.mark.parametrize("situation", ["idle", "parked", "put off", "failed", "crowded"])
def test_guarantee_4_reentrant_at_every_bytecode_of_start_write(
    make_step: MakeStep, make_wire: MakeWire, situation: str
) -> None:
    """What a signal handler or a destructor may do: write on the socket the thread writes on."""
    moment = 0
    happened = True
    while happened:
        moment += 1
        step = make_step()
        options = CROWDED_AT_1000 if situation == "crowded" else None
        wire = make_wire(step, buffer_bytes=SMALL_BUFFER, options=options)
        told = Outcomes()
        accepted = 0

        def write(number: int, wire: Wire = wire, told: Outcomes = told) -> None:
            nonlocal accepted
            with contextlib.suppress(RpcError):
                wire.socket.start_write(
                    IOBuf(frame(0, number)), on_outcome=told, notify_on_success=True
                )
                accepted += 1

        skipped = prepare(situation, wire, step)
        interruption = Interruption(moment, lambda write=write: write(1))
        with interruption:
            write(0)
        happened = interruption.happened
        write(2)
        data = flush(wire, step)
        assert told.untaken == accepted
        if situation in ("idle", "parked", "put off"):
            numbers = [number for _, number in frames_of(data[skipped:])]
            assert sorted(numbers) == ([0, 1, 2] if happened else [0, 2])
            assert numbers.index(0) < numbers.index(2)
        assert wire.socket.backlog.size_bytes == 0
        wire.close()
        step.run_until_idle()
    assert moment > 50


def prepare(situation: str, wire: Wire, step: StepDispatcher) -> int:
    """Bring the socket into that situation; return how many bytes were written for it."""
    if situation == "parked":
        size = (1 << 16) * fill(wire.socket)
        step.run_until_idle()
        return size
    if situation == "put off":
        wire.socket.start_write(IOBuf(b"burst"))
        return len(b"burst")
    if situation == "crowded":
        wire.socket.start_write(IOBuf(bytes(1 << 17)))
    elif situation == "failed":
        wire.socket.set_failed(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))
    return 0


def flush(wire: Wire, step: StepDispatcher) -> bytes:
    """Run and receive until nothing moves any more."""
    received = bytearray()
    wire.peer.setblocking(False)
    while step.run_until_idle() or wire.socket.backlog.size_bytes:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while part := wire.peer.recv(1 << 20):
                received += part
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while part := wire.peer.recv(1 << 20):
            received += part
    return bytes(received)


def test_guarantee_4_reentrant_from_a_storm_of_signals(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER)
    numbers = [0, 0]
    wanted_signals = 100
    is_in_handler = False
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(wire.receive_all()))
    reader.start()

    def write(producer: int) -> None:
        wire.socket.start_write(IOBuf(frame(producer, numbers[producer], 50)))
        numbers[producer] += 1

    def write_from_handler(*_: object) -> None:
        nonlocal is_in_handler
        if not is_in_handler:
            is_in_handler = True
            write(1)
            is_in_handler = False

    before = signal.signal(signal.SIGALRM, write_from_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        while numbers[1] < wanted_signals:
            write(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    over = Outcomes()
    wire.socket.start_write(
        IOBuf(b""), on_outcome=over, notify_on_success=True, shutdown_write=True
    )
    assert over.take() == [None]
    reader.join(WAIT_S)
    assert by_producer(frames_of(received[0])) == {
        0: list(range(numbers[0])),
        1: list(range(numbers[1])),
    }


def test_guarantee_4_reentrant_from_a_destructor(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    """What is written is dropped by the writer, inside its step, and its destructor writes."""
    wire = make_wire(dispatcher)
    told = Outcomes()

    class Outcome:
        def __call__(self, error: RpcError | None) -> None:
            told(error)

        def __del__(self) -> None:
            wire.socket.start_write(IOBuf(b"<last words>"))

    for _ in range(50):
        wire.socket.start_write(IOBuf(b"message"), on_outcome=Outcome(), notify_on_success=True)
    assert told.take(50) == [None] * 50
    data = wire.receive(50 * len(b"message<last words>"))
    assert (data.count(b"message"), data.count(b"<last words>")) == (50, 50)


def test_guarantee_4_reentrant_from_an_outcome(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(dispatcher)
    over = threading.Event()
    left = 1000

    def write_next(error: RpcError | None) -> None:
        nonlocal left
        left -= 1
        if error is not None or not left:
            over.set()
        else:
            wire.socket.start_write(IOBuf(b"n"), on_outcome=write_next, notify_on_success=True)

    def run(index: int) -> None:
        if index == 0:
            write_next(None)
            assert over.wait(WAIT_S)
        else:
            assert wire.receive(999) == b"n" * 999

    in_threads(2, run)


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


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
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
