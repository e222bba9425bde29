"""Guarantee 6 of the write path: no user code runs while the write right is held, and a producer
runs none at all."""

from __future__ import annotations

import logging
import socket as plain
import struct
import threading
import time

import pytest

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.writing.writer import BURST_S
from tests.fakes.sockets import MakeWire, Outcomes, RecordingUser, UserMessage
from tests.fakes.threads import WAIT_S

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets the connection."""


def test_write_right_is_not_held_while_an_outcome_is_reported(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(dispatcher)
    is_told, may_return = threading.Event(), threading.Event()

    def block(error: RpcError | None) -> None:
        is_told.set()
        assert may_return.wait(WAIT_S)

    wire.socket.start_write(IOBuf(b"first"), on_outcome=block, notify_on_success=True)
    assert is_told.wait(WAIT_S)
    # What follows within BURST_S is left to the dispatcher, which the callback blocks.
    time.sleep(10 * BURST_S)
    wire.socket.start_write(IOBuf(b"second"))
    assert wire.receive(11) == b"firstsecond"
    may_return.set()


@pytest.mark.parametrize("fails", [False, True])
def test_outcome_is_reported_in_a_later_turn(
    step: StepDispatcher, make_wire: MakeWire, fails: bool
) -> None:
    wire, told = make_wire(step), Outcomes()
    content = UserMessage(ValueError("no") if fails else b"yes")
    wire.socket.start_write(content, on_outcome=told, notify_on_success=True)
    assert told.untaken == 0
    step.run_until_idle()
    assert told.untaken == 1


@pytest.mark.parametrize("fails", [False, True])
def test_outcome_of_a_closed_dispatcher_is_reported_once_the_right_is_given_back(
    step: StepDispatcher, make_wire: MakeWire, fails: bool
) -> None:
    wire = make_wire(step)
    step.close()
    written_inline: list[bool] = []

    def look(error: RpcError | None) -> None:
        assert (error is not None) is fails
        step.clock.advance(1)
        before = wire.socket.statistics().written_in_place
        wire.socket.start_write(IOBuf(b"from the outcome"))
        written_inline.append(wire.socket.statistics().written_in_place == before + 1)

    content = UserMessage(ValueError("no") if fails else b"yes")
    wire.socket.start_write(content, on_outcome=look, notify_on_success=True)
    assert written_inline == [True]


@pytest.mark.parametrize("is_closed", [False, True])
def test_producer_whose_write_meets_a_reset_leaves_the_failure_to_the_dispatcher(
    step: StepDispatcher, make_wire: MakeWire, is_closed: bool
) -> None:
    user, told = RecordingUser(), Outcomes()
    wire = make_wire(step, user=user, kind="tcp")
    step.run_until_idle()
    wire.peer.setsockopt(plain.SOL_SOCKET, plain.SO_LINGER, RESET)
    wire.peer.close()
    if is_closed:
        wire.socket.dispatcher._is_closed = True  # type: ignore[attr-defined]
    wire.socket.start_write(IOBuf(b"meets it"), on_outcome=told)
    assert wire.socket.is_failed
    assert len(user.told) == told.untaken + 1 == 2 * is_closed + (not is_closed)
    step.run_until_idle()
    assert told.take_error().phase == "queued"
    assert [what for what, *_ in user.told] == ["connected", "failed"]


def test_failing_a_socket_calls_nobody(step: StepDispatcher, make_wire: MakeWire) -> None:
    user, told = RecordingUser(), Outcomes()
    wire = make_wire(step, user=user, buffer_bytes=4096)
    wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    wire.socket.close()
    assert (user.told, told.untaken) == ([], 0)
    step.run_until_idle()
    assert (len(user.told), told.untaken) == (1, 1)


@pytest.mark.parametrize("raised", [ValueError, SystemExit, GeneratorExit, MemoryError])
def test_outcome_callback_that_raises_is_logged_and_loses_no_other(
    step: StepDispatcher,
    make_wire: MakeWire,
    caplog: pytest.LogCaptureFixture,
    raised: type[BaseException],
) -> None:
    wire, told = make_wire(step), Outcomes()

    def fail(error: RpcError | None) -> None:
        raise raised

    for outcome in (fail, told):
        wire.socket.start_write(IOBuf(b"x"), on_outcome=outcome, notify_on_success=True)
    with caplog.at_level(logging.ERROR, "pybrpc"):
        step.run_until_idle()
    assert told.take() == [None]
    assert [record.getMessage() for record in caplog.records] == [
        "the on_outcome of a write raised"
    ]


def test_chain_of_outcomes_needs_one_stack_frame(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire, left = make_wire(step), 5_000

    def write_again(error: RpcError | None) -> None:
        nonlocal left
        assert error is not None
        assert error.code == ErrorCode.EINVAL
        left -= 1
        if left:
            wire.socket.start_write(UserMessage(ValueError("no")), on_outcome=write_again)

    wire.socket.start_write(UserMessage(ValueError("no")), on_outcome=write_again)
    step.run_until_idle()
    assert left == 0
