"""Guarantee 4 of the write path: start_write is re-entrant."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.fakes.frames import by_producer, frame, frames_of
from tests.fakes.sockets import (
    OVERCROWDED_AT_1000,
    SMALL_BUFFER,
    Interruption,
    MakeStep,
    MakeWire,
    Outcomes,
    Wire,
    fill,
    flush,
)
from tests.fakes.threads import WAIT_S, in_threads


@pytest.mark.python_only
@pytest.mark.parametrize("situation", ["idle", "parked", "put off", "failed", "crowded"])
def test_start_write_is_reentrant_at_every_bytecode(
    make_step: MakeStep, make_wire: MakeWire, situation: str
) -> None:
    """A signal handler or a destructor writes on the socket on which the thread writes."""
    moment = 0
    happened = True
    while happened:
        moment += 1
        step = make_step()
        options = OVERCROWDED_AT_1000 if situation == "crowded" else None
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
        wire.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))
    return 0


def test_start_write_is_reentrant_from_a_storm_of_signals(
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


def test_start_write_is_reentrant_from_a_destructor(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    """The writer drops a written request inside its step, and its destructor writes."""
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


def test_start_write_is_reentrant_from_an_outcome(
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
