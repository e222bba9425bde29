"""SocketReader: how much is read at once, and when it rests."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.reader import READ_BYTES
from pybrpc.transport.writing.backlog import Backlog
from tests.fakes.sockets import OVERCROWDED_AT_1000, SMALL_BUFFER, MakeWire, User, Wire, flush

LARGE = bytes(BAIDU_STD.pack_request(RpcRequest(1, "S", "M", bytes(8 * READ_BYTES))))
SMALL = bytes(BAIDU_STD.pack_request(RpcRequest(2, "S", "M", b"small")))


def send(wire: Wire, step: StepDispatcher, data: bytes) -> None:
    """All of it, as fast as it is read."""
    wire.peer.setblocking(False)
    view = memoryview(data)
    while view:
        try:
            view = view[wire.peer.send(view) :]
        except BlockingIOError:
            assert step.run_until_idle()
    step.run_until_idle()


def test_large_message_is_read_in_few_pieces(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = User()
    wire = make_wire(step, user=user)
    step.run_until_idle()
    send(wire, step, LARGE + SMALL)
    assert [len(user.messages.get(timeout=0).body) for _ in range(2)] == [8 * READ_BYTES, 5]
    found = wire.socket.statistics()
    assert (found.bytes_read, found.messages_read) == (len(LARGE) + len(SMALL), 2)


def test_reader_pauses_while_unanswered_bytes_are_overcrowded(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user, unanswered = User(), Backlog(1000, 500)
    wire = make_wire(step, user=user, unanswered=unanswered)
    step.run_until_idle()
    assert unanswered.try_add(2000, True)
    send(wire, step, SMALL)
    assert wire.socket.is_reading_paused
    assert user.messages.qsize() == 1, "what was read already"
    wire.peer.sendall(SMALL)
    step.run_until_idle()
    assert user.messages.qsize() == 1
    unanswered.remove(2000, 1)
    step.run_until_idle()
    assert not wire.socket.is_reading_paused
    assert user.messages.qsize() == 2


def test_reader_stays_paused_if_the_backlog_is_overcrowded_again(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(
        step,
        user=user,
        buffer_bytes=SMALL_BUFFER,
        options=OVERCROWDED_AT_1000,
        pauses_reads_when_overcrowded=True,
    )
    step.run_until_idle()
    near = wire.socket
    near.start_write(IOBuf(bytes(1 << 16)), ignore_eovercrowded=True)
    send(wire, step, SMALL)
    assert near.is_reading_paused
    step.post(partial(near._reader._restart, near))
    step.run_until_idle()
    assert near.is_reading_paused
    flush(wire, step)
    assert not near.is_reading_paused
    step.post(partial(near._reader._restart, near))  # once more, by somebody who is late
    send(wire, step, SMALL)
    assert user.messages.qsize() == 2


@pytest.mark.parametrize("is_closed", [False, True])
def test_failed_socket_does_not_read_on(
    step: StepDispatcher, make_wire: MakeWire, is_closed: bool
) -> None:
    unanswered = Backlog(1000, 500)
    wire = make_wire(step, user=User(), unanswered=unanswered)
    step.run_until_idle()
    assert unanswered.try_add(2000, True)
    send(wire, step, SMALL)
    wire.socket.close()
    step.run_until_idle()
    if is_closed:
        step.close()
    unanswered.remove(2000, 1)
    step.run_until_idle()
    assert not step.is_watching


def test_reader_pauses_by_the_old_name_of_the_option_with_a_warning(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    old: Any = {"pauses_reads_when_crowded": True}
    text = "^pauses_reads_when_crowded is now pauses_reads_when_overcrowded$"
    with pytest.warns(DeprecationWarning, match=text):
        wire = make_wire(
            step, user=User(), buffer_bytes=SMALL_BUFFER, options=OVERCROWDED_AT_1000, **old
        )
    step.run_until_idle()
    wire.socket.start_write(IOBuf(bytes(1 << 16)), ignore_eovercrowded=True)
    send(wire, step, SMALL)
    assert wire.socket.is_reading_paused
