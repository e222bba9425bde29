"""Socket at its edges: when it is dropped, polled, failed and shut."""

from __future__ import annotations

import socket as plain
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from tests.fakes.sockets import (
    OVERCROWDED_AT_1000,
    MakeWire,
    RecordingUser,
    User,
    UserMessage,
    make_pair,
)
from tests.peers.frame_layer import FrameLayer

PEER = Endpoint("127.0.0.1", 1)
BROKEN = make_rpc_error(ErrorCode.EINTERNAL, "the test says so")


# --- dropped ---


@pytest.mark.python_only
def test_dropped_socket_closes_its_descriptor(step: StepDispatcher) -> None:
    near, far = make_pair()
    socket = Socket.of(near, step)
    assert near.fileno() >= 0
    del socket
    assert near.fileno() == -1
    far.close()


@pytest.mark.python_only
def test_socket_whose_constructor_failed_has_no_descriptor_to_close() -> None:
    """An exception of a destructor would fail the test."""
    socket = Socket.__new__(Socket)
    del socket


# --- attended ---


class Attended(StepDispatcher):
    """Counts the connections that require polling though no caller waits."""

    attended = 0

    def require_polling(self) -> None:
        self.attended += 1

    def release_polling(self) -> None:
        self.attended -= 1


@pytest.mark.parametrize("is_awaited", [False, True])
def test_socket_whose_user_may_be_called_any_time_requires_polling(
    make_wire: MakeWire, is_awaited: bool
) -> None:
    step = Attended()
    options = {"is_awaited": True} if is_awaited else {}
    wire = make_wire(step, user=User(), **options)
    step.run_until_idle()
    assert step.attended == (not is_awaited)
    wire.socket.close()
    step.run_until_idle()
    assert step.attended == 0


def test_socket_that_was_never_connected_requires_no_polling() -> None:
    step = Attended()
    near = Socket.to(PEER, step, user=User())
    near.close()
    step.run_until_idle()
    assert step.attended == 0


# --- failed ---


@pytest.mark.parametrize("in_background", [False, True])
def test_peer_learns_of_a_failure_at_once_unless_another_thread_may_be_writing(
    step: StepDispatcher, make_wire: MakeWire, in_background: bool
) -> None:
    wire = make_wire(step)
    wire.socket.layer = FrameLayer(writes_in_background=in_background)
    wire.peer.setblocking(False)
    wire.socket.fail(BROKEN)
    if in_background:
        with pytest.raises(BlockingIOError):
            wire.peer.recv(1)
    else:
        assert wire.peer.recv(1) == b""
    step.run_until_idle()
    assert wire.peer.recv(1) == b""


def test_layer_is_closed_with_the_descriptor_that_it_had(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    closed: list[int] = []

    class Noting(FrameLayer):
        def close(self, fd: int, /) -> None:
            closed.append(fd)

    wire = make_wire(step, layer=Noting())
    step.run_until_idle()
    fd = wire.socket.fd
    wire.socket.close()
    step.run_until_idle()
    assert (closed, wire.socket.fd) == ([fd], -1)


def test_user_of_a_socket_that_failed_before_its_turn_gets_only_the_failure(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = RecordingUser()
    wire = make_wire(step, user=user)
    assert wire.socket.fail(BROKEN)
    assert user.told == []
    step.run_until_idle()
    assert user.told == [("failed", wire.socket, ErrorCode.EINTERNAL)]
    assert not wire.socket.fail(BROKEN)


# --- written to ---


def test_message_may_be_the_last_one(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(step)
    wire.socket.start_write(UserMessage(b"last words"), shutdown_write=True)
    step.run_until_idle()
    assert wire.receive_all() == b"last words"


def test_shutdown_of_a_reset_connection_does_nothing(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, kind="tcp")
    wire.peer.setsockopt(plain.SOL_SOCKET, plain.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.peer.close()
    wire.socket.shutdown_write_side()
    with pytest.raises(OSError, match="not connected"):
        wire.socket._sock.shutdown(plain.SHUT_WR)  # type: ignore[union-attr]
    wire.socket.close()
    step.run_until_idle()
    wire.socket.shutdown_write_side()


@pytest.mark.parametrize("hint", [None, 0, 500])
def test_message_counts_its_size_hint_until_it_is_bytes(
    step: StepDispatcher, hint: int | None
) -> None:
    near, message = Socket.to(PEER, step), UserMessage(b"x")
    if hint is not None:
        message.size_hint_bytes = hint  # type: ignore[attr-defined]
    near.start_write(message)
    assert near.backlog.size_bytes == (hint or 0)
    near.close()
    step.run_until_idle()
    assert near.backlog.size_bytes == 0


def test_queued_bytes_count_in_the_process_too(step: StepDispatcher) -> None:
    whole = ProcessBacklog()
    near = Socket.to(PEER, step, process_backlog=whole)
    near.start_write(IOBuf(bytes(1 << 20)))
    assert whole.size_bytes == 1 << 20
    near.close()
    step.run_until_idle()
    assert whole.size_bytes == 0


def test_socket_reads_on_by_default_while_its_peer_does_not(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user: Any = User()
    wire = make_wire(step, user=user, options=OVERCROWDED_AT_1000, buffer_bytes=4096)
    step.run_until_idle()
    wire.socket.start_write(IOBuf(bytes(1 << 20)), ignore_eovercrowded=True)
    step.run_until_idle()
    wire.peer.sendall(b"P")
    step.run_until_idle()
    assert wire.socket.backlog.is_overcrowded
    assert not wire.socket.is_reading_paused
    assert wire.socket.statistics().bytes_read == 1
