"""Guarantee 9 of the write path: shutdown_write flushes earlier messages and refuses later ones."""

from __future__ import annotations

import contextlib

import pytest

from pybrpc.errors import (
    ErrorCode,
    WriteShutdownError,
)
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.fakes.sockets import SMALL_BUFFER, MakeWire, Outcomes, User


@pytest.mark.parametrize("size", [0, 5, 1 << 20])
def test_shutdown_write_flushes_earlier_messages_and_refuses_later_ones(
    dispatcher: EventDispatcher, make_wire: MakeWire, size: int
) -> None:
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER)
    before, last, after = Outcomes(), Outcomes(), Outcomes()
    wire.socket.start_write(IOBuf(bytes(1 << 18)), on_outcome=before, notify_on_success=True)
    wire.socket.start_write(
        IOBuf(bytes(size)), on_outcome=last, notify_on_success=True, shutdown_write=True
    )
    accepted = 0
    for _ in range(10):
        with contextlib.suppress(WriteShutdownError):
            wire.socket.start_write(IOBuf(b"late"), on_outcome=after, notify_on_success=True)
            accepted += 1
    assert len(wire.receive_all()) == (1 << 18) + size
    assert before.take() + last.take() == [None, None]
    refused = after.take(accepted)
    assert {(type(error), error and error.code) for error in refused} <= {
        (WriteShutdownError, ErrorCode.ESHUTDOWNWRITE)
    }
    with pytest.raises(WriteShutdownError):
        wire.socket.start_write(IOBuf(b"late"), on_outcome=after)
    assert (before.untaken, last.untaken, after.untaken) == (0, 0, 0)
    assert not wire.socket.is_failed
    assert wire.socket.backlog.size_bytes == 0


def test_message_queued_behind_a_shutdown_fails_once(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step)
    told = [Outcomes() for _ in range(5)]

    def write() -> None:
        for number, outcome in enumerate(told):
            wire.socket.start_write(
                IOBuf(b"%d" % number),
                on_outcome=outcome,
                notify_on_success=True,
                shutdown_write=number in (2, 4),
            )

    step.post(write)
    step.run_until_idle()
    assert wire.receive_all() == b"012"
    codes = [error and error.code for outcome in told for error in outcome.take()]
    assert codes == [None, None, None, ErrorCode.ESHUTDOWNWRITE, ErrorCode.ESHUTDOWNWRITE]
    assert [outcome.untaken for outcome in told] == [0] * 5


def test_reading_goes_on_after_a_shutdown(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = User()
    wire = make_wire(step, user=user)
    wire.socket.start_write(IOBuf(b"bye"), shutdown_write=True)
    step.run_until_idle()
    assert wire.receive_all() == b"bye"
    wire.peer.sendall(b"PRPC")
    step.run_until_idle()
    assert wire.socket.statistics().bytes_read == 4
    assert not wire.socket.is_failed
