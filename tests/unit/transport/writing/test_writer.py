"""SocketWriter when a producer is between its exchange and its link: when it tries again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pybrpc.errors import ErrorCode, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing import writer as writer_module
from pybrpc.transport.writing.write_request import WriteRequest
from pybrpc.transport.writing.writer import (
    CUT_OFF_PAUSE_S,
    MAX_CUT_OFF_PAUSE_S,
    MAX_CUT_OFF_STEPS,
)
from tests.fakes.sockets import SMALL_BUFFER, MakeWire, Outcomes, Wire

pytestmark = pytest.mark.python_only

BIG = 1 << 20


class Producer:
    """Does what `Socket.write_request` does, but stops before it links its request."""

    def __init__(self, socket: Socket, told: Outcomes) -> None:
        self.request = WriteRequest(IOBuf(b"late"), None, told, True, False)
        assert socket.backlog.try_add(self.request.size_bytes, True)
        self._older = socket._writer._queue._head.get_and_set(self.request)

    def link(self) -> None:
        self.request.next = self._older


class FakeTimers:
    """In the place of threading.Timer."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def __call__(self, seconds: float, function: Callable[[], object]) -> FakeTimers:
        assert CUT_OFF_PAUSE_S <= seconds <= MAX_CUT_OFF_PAUSE_S
        self.waiting.append(function)
        return self

    def start(self) -> None:
        pass

    def fire(self) -> None:
        waiting, self.waiting = self.waiting, []
        for function in waiting:
            function()


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> FakeTimers:
    played = FakeTimers()
    monkeypatch.setattr(writer_module.threading, "Timer", played)
    return played


def full(step: StepDispatcher, make_wire: MakeWire, told: Outcomes) -> Wire:
    """One whose peer has to read before more can be written."""
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    wire.socket.start_write(IOBuf(bytes(BIG)), on_outcome=told, notify_on_success=True)
    step.run_until_idle()
    return wire


def test_request_linked_late_is_written_late(
    step: StepDispatcher, make_wire: MakeWire, timers: FakeTimers
) -> None:
    told = Outcomes()
    wire = full(step, make_wire, told)
    producer = Producer(wire.socket, told)
    wire.peer.setblocking(False)
    received = bytearray()
    while len(received) < BIG:
        step.run_until_idle()
        received += wire.peer.recv(1 << 20)
    step.run_until_idle()
    assert told.take() == [None]
    step.advance(CUT_OFF_PAUSE_S)
    assert told.untaken == 0, "it looked, and pauses again"
    producer.link()
    step.advance(CUT_OFF_PAUSE_S)
    assert (told.take(), wire.peer.recv(100)) == ([None], b"late")
    assert timers.waiting == []


def test_request_linked_late_fails_late(
    step: StepDispatcher, make_wire: MakeWire, timers: FakeTimers
) -> None:
    """Nothing would end the pause of a failed socket, so a thread makes it."""
    told = Outcomes()
    wire = full(step, make_wire, told)
    producer = Producer(wire.socket, told)
    wire.socket.fail(make_rpc_error(ErrorCode.EINTERNAL, "the test says so"))
    step.run_until_idle()
    assert told.take_error().code == ErrorCode.EINTERNAL
    for _ in range(3):
        assert len(timers.waiting) == 1
        timers.fire()
    assert told.untaken == 0
    producer.link()
    timers.fire()
    step.run_until_idle()
    assert told.take_error().code == ErrorCode.EINTERNAL
    assert (timers.waiting, wire.socket.fd, wire.socket.backlog.size_bytes) == ([], -1, 0)


def test_request_that_is_never_linked_is_given_up(
    step: StepDispatcher,
    make_wire: MakeWire,
    timers: FakeTimers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As after a signal handler that raised in its producer."""
    told = Outcomes()
    wire = full(step, make_wire, told)
    Producer(wire.socket, told)
    wire.socket.fail(make_rpc_error(ErrorCode.EINTERNAL, "the test says so"))
    step.run_until_idle()
    looks = 0
    while timers.waiting:
        timers.fire()
        looks += 1
    assert MAX_CUT_OFF_STEPS // 2 < looks <= MAX_CUT_OFF_STEPS
    assert wire.socket.fd == -1
    assert "a write was interrupted for good" in caplog.text
    told.take_error()


def test_request_linked_after_the_dispatcher_has_ended_fails_too(
    step: StepDispatcher, make_wire: MakeWire, timers: FakeTimers
) -> None:
    told = Outcomes()
    wire = full(step, make_wire, told)
    producer = Producer(wire.socket, told)
    step.close()
    wire.socket.fail(make_rpc_error(ErrorCode.EINTERNAL, "the test says so"))
    assert told.take_error().code == ErrorCode.EINTERNAL
    timers.fire()
    assert len(timers.waiting) == 1
    producer.link()
    timers.fire()
    assert told.take_error().code == ErrorCode.EINTERNAL
    assert (timers.waiting, wire.socket.fd, told.untaken) == ([], -1, 0)
