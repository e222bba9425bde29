"""Guarantee 6 of the write path: no user code runs while the write right is held."""

from __future__ import annotations

import threading

import pytest

from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf, cut_multiple_into_fd
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.fakes.sockets import (
    MakeWire,
    UserMessage,
    write_instead,
)
from tests.fakes.threads import WAIT_S


def test_write_right_is_not_held_while_an_outcome_is_reported(
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
def test_outcome_callback_sees_an_idle_queue(
    step: StepDispatcher, make_wire: MakeWire, fails: bool
) -> None:
    wire = make_wire(step)
    written_inline: list[bool] = []

    def look(error: RpcError | None) -> None:
        step.clock.advance(1)
        before = wire.socket.statistics().written_in_place
        wire.socket.start_write(IOBuf(b"from the outcome"))
        written_inline.append(wire.socket.statistics().written_in_place == before + 1)

    content = UserMessage(ValueError("no") if fails else b"yes")
    wire.socket.start_write(content, on_outcome=look, notify_on_success=True)
    assert written_inline == [True]


def test_outcome_callback_runs_after_the_writer_has_handed_the_right_on(
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
