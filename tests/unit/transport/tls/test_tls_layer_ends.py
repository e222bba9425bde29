"""The ends of a TlsLayer: close_notify, a cut connection, a bad record, an alert."""

from __future__ import annotations

import socket as plain
import ssl

import pytest

from pybrpc.errors import ErrorCode, Phase, TlsError, WriteShutdownError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.tls import tls_layer
from tests.fakes.sockets import MakeWire, Outcomes, User
from tests.fakes.tls_sockets import (
    client_layer,
    encrypted,
    message,
)
from tests.peers.tls import as_server, certificates


def test_closing_sends_close_notify(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(dispatcher, layer=client_layer())
    wire.peer = as_server(wire.peer, certificates().server_context())
    wire.peer.do_handshake()  # type: ignore[attr-defined]
    wire.socket.start_write(IOBuf(b"last"), on_outcome=lambda e: wire.socket.close())
    wire.socket.start_write(
        IOBuf(b" words"), on_outcome=lambda e: wire.socket.close(), notify_on_success=True
    )
    assert wire.receive(11) == b"last words", "a ragged end raises here"


def test_shutdown_write_sends_close_notify_then_fin_and_can_read_on(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user, told, late = User(), Outcomes(), Outcomes()
    near = encrypted(step, make_wire, user)
    near.write(bytes(50_000), told, shutdown_write=True)
    near.write(b"late", late)
    step.run_until_idle()
    assert (told.untaken, near.peer.is_ended) == (0, False)
    assert near.read() == bytes(50_000)
    assert near.peer.is_ended
    assert near.peer.sock.recv(1) == b""
    assert told.take() == [None]
    assert isinstance(late.take_error(), WriteShutdownError)
    near.peer.send(message(5))
    step.run_until_idle()
    assert user.messages.get_nowait().correlation_id == 5


def test_close_notify_of_the_peer_is_the_end_after_what_came_before(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """Without the end of TCP, so that the descriptor never becomes readable again."""
    user = User()
    near = encrypted(step, make_wire, user)
    near.peer.tls.write(message(1))
    near.peer.finish()
    step.run_until_idle()
    assert user.messages.get_nowait().correlation_id == 1
    error = user.errors.get_nowait()
    assert error.text.startswith("Got EOF of")
    assert (error.code, error.is_remote) == (ErrorCode.EEOF, True)


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 20])
def test_end_of_tcp_alone_is_reported_as_cut_off(
    step: StepDispatcher, make_wire: MakeWire, cut: int
) -> None:
    user = User()
    near = encrypted(step, make_wire, user)
    near.peer.tls.write(message(1))
    near.peer.sock.sendall(near.peer.take_ciphertext()[:cut])
    near.peer.sock.shutdown(plain.SHUT_WR)
    step.run_until_idle()
    error = user.errors.get_nowait()
    assert (error.code, error.is_remote) == (ErrorCode.EEOF, True)
    assert "without close_notify" in error.text
    assert user.messages.qsize() == 0


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x20" + bytes(32)]
)
def test_bad_record_fails_the_socket_after_the_messages_before_it(
    step: StepDispatcher, make_wire: MakeWire, garbage: bytes
) -> None:
    user, told = User(), Outcomes()
    near = encrypted(step, make_wire, user)
    near.write(bytes(1 << 20), told)
    step.run_until_idle()
    near.peer.tls.write(message(1))
    near.peer.sock.sendall(near.peer.take_ciphertext() + garbage)
    step.run_until_idle()
    assert user.messages.get_nowait().correlation_id == 1
    error = user.errors.get_nowait()
    assert isinstance(error, TlsError)
    assert (error.code, error.phase) == (ErrorCode.ESSL, Phase.WAITING)
    assert error.text.startswith("Fail to read from unix:")
    told_error = told.take_error()
    assert (type(told_error), told_error.phase) == (TlsError, Phase.SENT)


def test_alert_reaches_the_peer(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(dispatcher, layer=client_layer(), user=User())
    far = as_server(wire.peer, certificates().server_context())
    wire.peer = far
    far.do_handshake()
    raw = plain.socket(fileno=plain.dup(far.fileno()))
    raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    raw.close()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        far.recv(1)


def test_alert_before_a_reset_is_the_reported_error(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """Writing finds out first that the peer is gone; why is still in the receive buffer."""
    user, told = User(), Outcomes()
    near = encrypted(step, make_wire, user)
    near.peer.sock.sendall(near.peer.alert())
    near.peer.sock.close()
    near.write(b"too late", told)
    step.run_until_idle()
    error = told.take_error()
    assert (error.code, error.phase, error.is_remote) == (ErrorCode.ESSL, Phase.SENT, True)
    assert "alert" in error.text
    assert user.take_error().text == error.text


def test_peer_that_reads_nothing_can_not_make_the_layer_hold_ever_more(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_layer, "MAX_UNSENT_BYTES", 1000)
    user, told = User(), Outcomes()
    near = encrypted(step, make_wire, user)
    near.write(bytes(100_000), told)
    step.run_until_idle()
    near.peer.send(message(1))
    step.run_until_idle()
    assert "and reads none" in user.take_error().text
    assert told.take_error().code == ErrorCode.ESSL
