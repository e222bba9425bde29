"""State and events of a Socket, and how it is abandoned after a fork."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    OvercrowdedError,
    Phase,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.interfaces import PLAIN
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket.statistics import SocketStatistics
from tests.fakes.sockets import (
    OVERCROWDED_AT_1000,
    SMALL_BUFFER,
    MakeWire,
    Outcomes,
    RecordingUser,
    User,
    flush,
)
from tests.peers.frame_layer import FrameLayer

PEER = Endpoint("127.0.0.1", 1)
REQUEST = bytes(BAIDU_STD.pack_request(RpcRequest(1, "a.Service", "Method", b"body")))


def test_user_gets_the_socket_with_every_event(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = RecordingUser()
    wire = make_wire(step, user=user)
    step.run_until_idle()
    wire.peer.sendall(2 * REQUEST)
    step.run_until_idle()
    wire.peer.close()
    step.run_until_idle()
    near = wire.socket
    assert user.told == [
        ("connected", near),
        ("messages", near, 2),
        ("end", near, ErrorCode.EEOF),
        ("failed", near, ErrorCode.EEOF),
    ]
    assert near.messages_read == 2
    assert near.is_failed


def test_user_may_stay_after_the_peer_has_ended(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = RecordingUser(stays=True)
    wire = make_wire(step, user=user)
    step.run_until_idle()
    wire.peer.shutdown(1)
    step.run_until_idle()
    assert not wire.socket.is_failed
    wire.socket.start_write(IOBuf(b"last words"))
    step.run_until_idle()
    assert wire.receive(10) == b"last words"


def test_user_that_is_set_later_gets_the_events(step: StepDispatcher) -> None:
    user = RecordingUser()
    near = Socket.to(PEER, step)
    near.set_user(user)
    near.close()
    step.run_until_idle()
    assert user.told == [("failed", near, ErrorCode.ECLOSE)]


def test_error_of_close_names_the_side_that_closed(step: StepDispatcher) -> None:
    near = Socket.to(PEER, step)
    near.close()
    error = near.error
    assert isinstance(error, ConnectionFailedError)
    assert (error.code, error.phase, error.peer) == (ErrorCode.ECLOSE, Phase.WAITING, str(PEER))
    assert near.description == f"{PEER} (socket {near.id}, fd -1)"
    assert error.text == f"{near.description} was closed by this side"


def test_socket_without_a_peer_address_is_one_of_a_pair(step: StepDispatcher) -> None:
    near = Socket(step, None)
    assert near.description == f"a pair (socket {near.id}, fd -1)"
    assert repr(near) == f"<Socket {near.id} to a pair, not connected, 0 bytes queued>"
    near.close()
    assert near.error is not None
    assert near.error.peer == ""


def test_repr_of_a_socket_has_its_state(step: StepDispatcher, make_wire: MakeWire) -> None:
    near = Socket.to(PEER, step)
    assert repr(near) == f"<Socket {near.id} to {PEER}, not connected, 0 bytes queued>"
    near.fail(make_rpc_error(ErrorCode.EINTERNAL, "the test says so"))
    assert repr(near) == f"<Socket {near.id} to {PEER}, failed: the test says so, 0 bytes queued>"
    near = make_wire(step, buffer_bytes=SMALL_BUFFER, options=OVERCROWDED_AT_1000).socket
    near.start_write(IOBuf(bytes(1 << 20)), ignore_eovercrowded=True)
    step.run_until_idle()
    left = near.backlog.size_bytes
    assert repr(near) == (
        f"<Socket {near.id} to {near.remote_side}, connected, {left} bytes queued, overcrowded>"
    )


def test_statistics_count_what_happened(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(step, user=User(), buffer_bytes=SMALL_BUFFER, options=OVERCROWDED_AT_1000)
    step.run_until_idle()
    near, size = wire.socket, 1 << 20
    near.start_write(IOBuf(b"in place"))
    near.start_write(IOBuf(bytes(size)), ignore_eovercrowded=True)
    step.run_until_idle()
    step.post(partial(near._writer.on_writable, near))  # though there is no room
    step.run_until_idle()
    with pytest.raises(OvercrowdedError):
        near.start_write(IOBuf(b"too much"))
    for _ in range(2):
        wire.peer.sendall(REQUEST)
        step.run_until_idle()
    expected = SocketStatistics(
        bytes_written=near.statistics().bytes_written,
        bytes_read=2 * len(REQUEST),
        messages_written=1,
        messages_read=2,
        writes=3,
        writes_blocked=1,
        written_in_place=1,
        handed_over=0,
        reads=2,
        backlog_bytes=size,
        is_overcrowded=True,
        refused_overcrowded=1,
    )
    assert near.statistics() == expected
    assert 8 < expected.bytes_written < size
    flush(wire, step)
    assert near.statistics() == dataclasses.replace(
        expected,
        bytes_written=8 + size,
        messages_written=2,
        handed_over=1,
        writes=near.statistics().writes,
        writes_blocked=near.statistics().writes_blocked,
        backlog_bytes=0,
        is_overcrowded=False,
    )


# --- abandoned ---


def test_abandoned_socket_refuses_writes_and_calls_nobody(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """As in a forked child."""
    user, told = RecordingUser(), Outcomes()
    wire = make_wire(step, user=user, buffer_bytes=SMALL_BUFFER)
    near = wire.socket
    near.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    near.abandon()
    assert Socket.address(near.id) is None
    assert near.fd == -1
    for call in (near.raise_if_failed, lambda: near.start_write(IOBuf(b"x"))):
        with pytest.raises(ConnectionFailedError) as caught:
            call()
        assert caught.value.code == ErrorCode.EFAILEDSOCKET
        assert caught.value.text == "belongs to the parent process"
        assert caught.value is not near.error
    assert not near.fail(make_rpc_error(ErrorCode.EINTERNAL, "too late"))
    assert (user.told, told.untaken) == ([], 0)


def test_abandoned_socket_sends_nothing_through_its_layer(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """Its last words would go into the parent's stream."""
    layer = FrameLayer()
    near = make_wire(step, layer=layer).socket
    near.abandon()
    assert (layer.said, near.layer) == ([], PLAIN)


def test_connecting_socket_stops_when_it_is_abandoned(step: StepDispatcher) -> None:
    near = Socket.to(PEER, step)
    near.start_write(IOBuf(b"x"))
    near.abandon()
    step.run_until_idle()
    assert not step.is_watching
    assert "belongs to the parent process" in repr(near)
