"""The end of a connection: what the user is asked, and how it is closed."""

from __future__ import annotations

import socket as _socket

import pytest

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.transport.socket.graceful_close import STALL_S
from pybrpc.transport.socket.socket import LINGER_S, Socket
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.slow_peers import CHECK_S
from tests.fakes.sockets import SMALL_BUFFER, MakeStep, MakeWire, User, fill, flush

FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(1, "Service", "Method", b"body")))


class StayingUser(User):
    """Keeps the connection when no more messages will come."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        self.ends.append(error.name)
        return True


def test_user_that_stays_can_write_after_the_end(make_step: MakeStep, make_wire: MakeWire) -> None:
    step, user = make_step(), StayingUser()
    wire = make_wire(step, kind="tcp", user=user)
    wire.peer.sendall(FRAME)
    wire.peer.shutdown(_socket.SHUT_WR)
    step.run_until_idle()
    assert (user.messages.qsize(), user.ends) == (1, ["EEOF"])
    assert not step.is_watching, "the dispatcher would spin on the end of the stream"
    wire.socket.start_write(IOBuf(b"answer"))
    wire.socket.close_gracefully(IOBuf(b"."))
    step.run_until_idle()
    assert wire.receive_all() == b"answer."
    assert user.take_error().code == ErrorCode.ECLOSE


def test_user_that_does_not_stay_gets_the_end_as_a_failure(
    make_step: MakeStep, make_wire: MakeWire
) -> None:
    step, user = make_step(), User()
    wire = make_wire(step, user=user)
    wire.peer.shutdown(_socket.SHUT_WR)
    step.run_until_idle()
    assert user.take_error().code == ErrorCode.EEOF


def test_user_that_stays_on_nonsense_gets_no_more_messages(
    make_step: MakeStep, make_wire: MakeWire
) -> None:
    step, user = make_step(), StayingUser()
    wire = make_wire(step, kind="tcp", user=user)
    wire.peer.sendall(FRAME + b"nonsense" + FRAME)
    step.run_until_idle()
    wire.peer.sendall(FRAME)
    step.run_until_idle()
    assert (user.messages.qsize(), user.ends) == (1, ["EINVAL"])
    wire.socket.start_write(IOBuf(b"answer"))
    wire.peer.shutdown(_socket.SHUT_WR)
    step.run_until_idle()
    assert user.ends == ["EINVAL", "EEOF"]
    wire.socket.close_gracefully(IOBuf())
    step.run_until_idle()
    assert wire.receive_all() == b"answer"
    assert user.take_error().code == ErrorCode.ECLOSE


def test_peer_that_ended_gets_what_is_still_queued(
    make_step: MakeStep, make_wire: MakeWire
) -> None:
    step, user = make_step(), User()
    wire = make_wire(step, kind="tcp", buffer_bytes=4096, user=user)
    count = fill(wire.socket, 300_000)
    wire.socket.close_gracefully(IOBuf(b"!"))
    wire.peer.shutdown(_socket.SHUT_WR)
    step.run_until_idle()
    assert not wire.socket.is_failed
    assert len(flush(wire, step)) == 300_000 * count + 1
    assert user.take_error().code == ErrorCode.ECLOSE


def test_final_data_is_written_though_the_socket_is_overcrowded(
    make_step: MakeStep, make_wire: MakeWire
) -> None:
    step = make_step()
    options = SocketOptions(high_water_bytes=1000)
    wire = make_wire(step, user=User(), buffer_bytes=SMALL_BUFFER, options=options)
    step.run_until_idle()
    wire.socket.start_write(IOBuf(bytes(1 << 20)), ignore_eovercrowded=True)
    assert wire.socket.backlog.is_overcrowded
    wire.socket.close_gracefully(IOBuf(b"bye"))
    received = bytearray()
    wire.peer.setblocking(False)
    while not received.endswith(b"bye"):
        step.run_until_idle()
        received += wire.peer.recv(1 << 20)
    assert len(received) == (1 << 20) + 3


def test_linger_begins_when_all_is_written(make_step: MakeStep, make_wire: MakeWire) -> None:
    step, user = make_step(), User()
    wire = make_wire(step, kind="tcp", buffer_bytes=4096, user=user)
    fill(wire.socket, 300_000)
    wire.socket.close_gracefully(IOBuf())
    step.advance(STALL_S - 1)
    assert not wire.socket.is_failed
    flush(wire, step)
    assert not wire.socket.is_failed
    step.advance(LINGER_S)
    assert user.take_error().code == ErrorCode.ECLOSE
    step.advance(STALL_S)


def test_peer_that_takes_nothing_is_closed(make_step: MakeStep, make_wire: MakeWire) -> None:
    step, user = make_step(), User()
    wire = make_wire(step, kind="tcp", buffer_bytes=4096, user=user)
    fill(wire.socket, 300_000)
    wire.socket.close_gracefully(IOBuf())
    written = wire.socket.statistics().bytes_written
    while wire.socket.statistics().bytes_written == written:
        wire.peer.recv(4096)
        step.run_until_idle()
    step.advance(STALL_S)
    assert not wire.socket.is_failed
    step.advance(STALL_S)
    step.advance(STALL_S)
    assert user.take_error().code == ErrorCode.ECLOSE


def test_second_close_shortens_the_linger(make_step: MakeStep, make_wire: MakeWire) -> None:
    step, user = make_step(), User()
    wire = make_wire(step, kind="tcp", user=user)
    wire.socket.close_gracefully(IOBuf(b"bye"), linger_s=1000)
    step.run_until_idle()
    step.advance(10)
    wire.socket.close_gracefully(IOBuf(b"bye"), linger_s=5)
    wire.socket.close_gracefully(IOBuf(b"bye"), linger_s=500)
    assert wire.receive_all() == b"bye"
    assert not wire.socket.is_failed
    step.advance(5)
    assert user.take_error().code == ErrorCode.ECLOSE
    step.advance(1000)


@pytest.mark.parametrize("is_written", [True, False])
def test_closed_socket_is_not_kept_by_timers(
    is_written: bool, make_step: MakeStep, make_wire: MakeWire
) -> None:
    step, user = make_step(), User()
    wire = make_wire(step, kind="tcp", buffer_bytes=4096, user=user)
    if not is_written:
        fill(wire.socket, 300_000)
    wire.socket.close_gracefully(IOBuf(), linger_s=1000)
    step.run_until_idle()
    wire.peer.close()
    step.run_until_idle()
    assert wire.socket.is_failed
    # The check of slow peers, which are kept by nothing of it, comes once more.
    step.advance(CHECK_S)
    assert [timer for timer in step._timers if timer.function is not None] == []


def test_closing_a_failed_socket_does_nothing(make_step: MakeStep, make_wire: MakeWire) -> None:
    step, user = make_step(), User()
    wire = make_wire(step, user=user)
    wire.socket.close()
    wire.socket.close_gracefully(IOBuf(b"bye"))
    step.run_until_idle()
    step.advance(STALL_S)
    assert user.take_error().code == ErrorCode.ECLOSE
