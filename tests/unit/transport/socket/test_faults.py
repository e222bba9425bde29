"""Bad input and faults, as a Socket meets them."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from pybrpc.errors import ErrorCode, OvercrowdedError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import LINGER_S, Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.sockets import (
    OVERCROWDED_AT_1000,
    SMALL_BUFFER,
    MakeStep,
    MakeWire,
    Outcomes,
    User,
    make_pair,
    unused_endpoint,
    write_instead,
)
from tests.fakes.threads import WAIT_S

FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(7, "EchoService", "Echo", b"0123456789")))


@pytest.mark.parametrize("size", range(len(FRAME) + 1))
def test_peer_closes_at_any_byte_of_a_frame(
    step: StepDispatcher, make_wire: MakeWire, size: int
) -> None:
    user, told = User(), Outcomes()
    wire = make_wire(step, user=user, buffer_bytes=SMALL_BUFFER)
    wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    wire.peer.sendall(FRAME[:size])
    step.run_until_idle()
    wire.peer.close()
    step.run_until_idle()
    assert user.messages.qsize() == (size == len(FRAME))
    assert user.errors.qsize() == told.untaken == 1


@pytest.mark.parametrize("size", range(0, len(FRAME), 5))
def test_this_side_closes_at_any_byte_of_a_frame(
    step: StepDispatcher, make_wire: MakeWire, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer gets a cut frame and the end; the request is reported as sent if any of it was."""

    def write_some(fd: int, bufs: list[IOBuf]) -> int:
        return bufs[0].pop_front(os.write(fd, bufs[0].peek(size)))

    write_instead(monkeypatch, write_some)
    wire, told = make_wire(step), Outcomes()
    wire.socket.start_write(IOBuf(FRAME), on_outcome=told)
    wire.socket.close()
    step.run_until_idle()
    assert wire.receive_all() == FRAME[:size]
    assert told.take_error().phase == ("sent" if size else "queued")


@pytest.mark.parametrize("cut", range(1, len(FRAME)))
def test_a_frame_in_two_parts_is_one_message(
    step: StepDispatcher, make_wire: MakeWire, cut: int
) -> None:
    user = User()
    wire = make_wire(step, user=user)
    wire.peer.sendall(FRAME + FRAME[:cut])
    step.run_until_idle()
    assert user.messages.qsize() == 1
    wire.peer.sendall(FRAME[cut:])
    step.run_until_idle()
    assert user.messages.qsize() == 2
    assert wire.socket.statistics().messages_read == 2


def test_messages_before_garbage_are_handed_over(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = User()
    wire = make_wire(step, user=user)
    wire.peer.sendall(FRAME + FRAME + b"garbage that is no frame")
    step.run_until_idle()
    assert user.messages.qsize() == 2
    assert "garbage" in user.take_error().text
    assert wire.receive_all() == b""


def test_a_declared_size_over_the_limit_is_not_buffered(step: StepDispatcher) -> None:
    near, far = make_pair()
    user = User()
    socket = Socket.of(near, step, user=user, session=MessageCutter(ParseLimits(max_body_size=100)))
    far.sendall(b"PRPC" + (1 << 30).to_bytes(4, "big") + (1 << 29).to_bytes(4, "big"))
    step.run_until_idle()
    assert user.take_error().code == ErrorCode.EINVAL
    assert socket.statistics().bytes_read == 12
    far.close()


def test_a_peer_that_never_reads_costs_bounded_memory_and_disturbs_nobody(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    options = SocketOptions(high_water_bytes=1 << 20)
    deaf = make_wire(dispatcher, options=options, buffer_bytes=SMALL_BUFFER)
    other = make_wire(dispatcher, options=options)
    with contextlib.suppress(OvercrowdedError):
        for _ in range(100_000):
            deaf.socket.start_write(IOBuf(bytes(10_000)))
    assert deaf.socket.statistics().refused_overcrowded == 1
    assert deaf.socket.statistics().backlog_bytes < (1 << 20) + 20_000
    for number in range(100):
        told = Outcomes()
        data = b"%04d" % number
        other.socket.start_write(IOBuf(data), on_outcome=told, notify_on_success=True)
        assert other.receive(4) == data
        assert told.take() == [None]


def test_reading_pauses_while_the_peer_does_not_read(step: StepDispatcher) -> None:
    near, far = make_pair(buffer_bytes=SMALL_BUFFER)
    user = User()
    socket = Socket.of(
        near, step, user=user, options=OVERCROWDED_AT_1000, pauses_reads_when_overcrowded=True
    )
    socket.start_write(IOBuf(bytes(1 << 16)))
    far.sendall(FRAME)
    step.run_until_idle()
    far.sendall(FRAME)
    step.run_until_idle()
    assert user.messages.qsize() == 1
    far.setblocking(False)
    while socket.backlog.size_bytes:
        with contextlib.suppress(BlockingIOError):
            far.recv(1 << 16)
        step.run_until_idle()
    assert user.messages.qsize() == 2
    far.close()
    step.run_until_idle()
    assert user.errors.qsize() == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_thousand_sockets_opened_and_dropped_leave_nothing(
    dispatcher: EventDispatcher, make_wire: MakeWire, kind: str
) -> None:
    """The fixture that counts threads and descriptors judges."""
    threads = threading.active_count()
    for number in range(1000):
        wire = make_wire(dispatcher, kind=kind, user=User())
        wire.socket.start_write(IOBuf(b"x"))
        if number % 3 == 0:
            wire.peer.close()
        if number % 3 == 1:
            wire.socket.close()
        if number % 100 == 0:
            assert threading.active_count() <= threads + 1
        wire.close()


@pytest.mark.slow
def test_a_thousand_refused_connections_leave_nothing(dispatcher: EventDispatcher) -> None:
    endpoint, told = unused_endpoint(), Outcomes()
    for _ in range(1000):
        Socket.to(endpoint, dispatcher).start_write(IOBuf(b"x"), on_outcome=told)
    assert {error and error.name for error in told.take(1000)} == {"ECONNREFUSED"}


@pytest.mark.parametrize("ends_by", ["the peer", "the deadline"])
def test_close_gracefully_delivers_the_final_data(
    make_step: MakeStep, make_wire: MakeWire, ends_by: str
) -> None:
    """Also while the peer is still sending: closing with unread data would reset the stream."""
    step, user = make_step(), User()
    wire = make_wire(step, kind="tcp", user=user)
    wire.peer.sendall(FRAME * 10)
    wire.socket.close_gracefully(IOBuf(b"good-bye"))
    wire.peer.sendall(FRAME * 10)
    step.run_until_idle()
    assert wire.receive_all() == b"good-bye"
    assert user.messages.qsize() == 0
    if ends_by == "the peer":
        wire.peer.close()
        step.run_until_idle()
    else:
        step.advance(LINGER_S)
    assert user.take_error().code == (ErrorCode.EEOF if ends_by == "the peer" else ErrorCode.ECLOSE)
    step.advance(LINGER_S)


def test_an_exception_of_the_user_does_not_stop_the_dispatcher(
    epoll: EventDispatcher, make_wire: MakeWire
) -> None:
    class RaisingUser(User):
        def on_messages(self, socket: Socket, messages: list[object]) -> None:  # type: ignore[override]
            raise ValueError("a defect of the user")

    wire = make_wire(epoll, user=RaisingUser())
    other_user = User()
    other = make_wire(epoll, user=other_user)
    wire.peer.sendall(FRAME)
    other.peer.sendall(FRAME)
    assert other_user.messages.get(timeout=WAIT_S)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_exit_in_a_callback_does_not_stop_the_dispatcher(
    epoll: EventDispatcher, error: type[BaseException]
) -> None:
    """sys.exit() in a callback would else silently stop every connection of the process."""

    def leave() -> None:
        raise error

    epoll.post(leave)
    ran = threading.Event()
    epoll.post(ran.set)
    assert ran.wait(WAIT_S)


def test_discarded_bytes_are_not_kept_and_are_limited(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pybrpc.transport.socket.reader.DISCARD_BYTES", 1000)
    user = User()
    wire = make_wire(step, user=user)
    wire.socket.close_gracefully(IOBuf(b"good-bye"))
    wire.peer.sendall(bytes(1000))
    step.run_until_idle()
    assert not wire.socket.is_failed
    assert not wire.socket._reader.session.buffer
    wire.peer.sendall(bytes(1))
    step.run_until_idle()
    assert user.take_error().code == ErrorCode.ECLOSE
    step.advance(LINGER_S)
