"""TlsLayer once its handshake is over: what arrives, when it counts as written, how it ends."""

from __future__ import annotations

import random
import socket as plain
import ssl
import struct
import threading
import weakref

import pytest

from pybrpc.errors import ConnectionFailedError, ErrorCode, Phase, TlsError, WriteShutdownError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.tls import tls_layer
from pybrpc.transport.tls.client_tls import ClientTls
from tests.fakes.dispatchers import wait_until_collected
from tests.fakes.frames import by_producer, frame, frames_of
from tests.fakes.sockets import SMALL_BUFFER, MakeStep, MakeWire, Outcomes, User, make_pair
from tests.fakes.threads import WAIT_S, in_threads
from tests.fakes.tls_sockets import (
    SOMEWHERE,
    Encrypted,
    client_layer,
    context_of,
    encrypted,
    server_layer,
)
from tests.peers.tls import NAME, MemoryPeer, as_client, as_server, certificates

APPLICATION_DATA = 23


def message(number: int, size: int = 10) -> bytes:
    return bytes(BAIDU_STD.pack_request(RpcRequest(number, "service", "method", bytes(size))))


# --- both ways, both sides ---


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("buffer_bytes", [None, SMALL_BUFFER], ids=["roomy", "tight"])
def test_messages_both_ways_with_pythons_ssl(
    dispatcher: EventDispatcher,
    make_wire: MakeWire,
    side: str,
    version: str,
    buffer_bytes: int | None,
) -> None:
    user = User()
    layer = client_layer() if side == "client" else server_layer()
    wire = make_wire(dispatcher, buffer_bytes=buffer_bytes, user=user, layer=layer)
    context = context_of(version, serves=side == "client")
    far = as_server(wire.peer, context) if side == "client" else as_client(wire.peer, context)
    wire.peer = far
    far.do_handshake()
    each = 200

    def produce(index: int) -> None:
        if index == 4:
            # One after the other: an SSLSocket must not be used by two threads at once.
            far.sendall(b"".join(message(number, 5000) for number in range(100)))
            data = wire.receive(4 * each * len(frame(0, 0, 500)))
            found = by_producer(frames_of(data))
            assert found == {i: list(range(each)) for i in range(4)}
        else:
            for number in range(each):
                wire.socket.start_write(IOBuf(frame(index, number, 500)))

    in_threads(5, produce)
    numbers = [user.messages.get(timeout=WAIT_S).correlation_id for _ in range(100)]
    assert numbers == list(range(100))
    assert wire.socket.tls is not None
    assert wire.socket.tls.version == version.replace("_", ".")
    assert wire.socket.tls.cipher == far.cipher()[0]  # type: ignore[index]
    wire.socket.close()
    assert far.recv(1) == b""


@pytest.mark.parametrize("seed", range(20))
def test_two_sockets_with_each_other_in_any_schedule(make_step: MakeStep, seed: int) -> None:
    rng = random.Random(seed)
    step = make_step(seed, flushes_at_turn_end=rng.random() < 0.5)
    users, told, count = (User(), User()), Outcomes(), 40
    ends = make_pair("unix", SMALL_BUFFER)
    near = Socket.of(ends[0], step, user=users[0], layer=client_layer())
    far = Socket.of(ends[1], step, user=users[1], layer=server_layer())
    for number in range(count):
        for socket in (near, far):
            data = IOBuf(message(number, rng.choice((0, 100, 20_000))))
            socket.start_write(data, on_outcome=told, notify_on_success=True)
        for _ in range(rng.randrange(6)):
            step.step()
    step.run_until_idle()
    for user in users:
        got = [user.messages.get_nowait().correlation_id for _ in range(count)]
        assert got == list(range(count))
    assert told.take(2 * count) == [None] * 2 * count
    near.close()
    step.run_until_idle()
    assert users[1].take_error().text.startswith("Got EOF of")
    assert (near.fd, far.fd) == (-1, -1)


# --- writing ---


def test_producer_never_encrypts(step: StepDispatcher, make_wire: MakeWire) -> None:
    near, told = encrypted(step, make_wire), Outcomes()
    for number in range(3):
        step.clock.advance(1)
        near.write(b"x", told)
        assert near.socket.statistics().bytes_written == number
        step.run_until_idle()
    assert near.read() == b"xxx"
    assert near.socket.statistics().written_in_place == 0


def test_small_messages_share_a_record_and_big_ones_have_several(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    near, told = encrypted(step, make_wire), Outcomes()
    for sizes, records in (([10] * 50, 1), ([40_000], 3), ([10, 16_384, 10], 2)):
        near.peer.ciphertext.clear()
        for size in sizes:
            near.write(bytes(size), told)
        assert len(near.read()) == sum(sizes)
        assert count_records(bytes(near.peer.ciphertext)) == records
        assert told.take(len(sizes)) == [None] * len(sizes)


def count_records(data: bytes) -> int:
    count = 0
    while data:
        kind, _, size = struct.unpack_from("!BHH", data)
        assert kind == APPLICATION_DATA
        data = data[5 + size :]
        count += 1
    return count


@pytest.mark.parametrize("size", [6_000, 60_000, 1_000_000])
def test_a_message_is_not_written_before_its_ciphertext_has_left(
    step: StepDispatcher, make_wire: MakeWire, size: int
) -> None:
    near, told = encrypted(step, make_wire), Outcomes()
    near.write(bytes(size), told)
    step.run_until_idle()
    if size < 10_000:
        # All of it fits, so that the first is out and the second waits.
        assert told.take() == [None]
        near.write(bytes(60_000), told)
        step.run_until_idle()
    assert near.socket.layer.has_unsent
    assert (told.untaken, near.socket.backlog.requests) == (0, 1)
    near.read()
    assert told.take() == [None]
    assert near.socket.backlog.size_bytes == 0


def test_encrypted_bytes_that_wait_are_bounded(step: StepDispatcher, make_wire: MakeWire) -> None:
    near, told = encrypted(step, make_wire), Outcomes()
    near.write(bytes(10_000_000), told)
    step.run_until_idle()
    assert near.socket.statistics().bytes_written <= 256 * 1024
    assert len(near.read()) == 10_000_000
    assert told.take() == [None]


@pytest.mark.parametrize("seed", range(10))
def test_socket_fails_while_it_waits_for_the_peer_to_read(
    make_step: MakeStep, make_wire: MakeWire, seed: int
) -> None:
    step, user, told = make_step(seed), User(), [Outcomes() for _ in range(3)]
    near = encrypted(step, make_wire, user)
    for outcome in told:
        near.write(bytes(200_000), outcome)
    step.run_until_idle()
    near.socket.fail(ConnectionFailedError("the test says so"))
    step.run_until_idle()
    errors = [outcome.take_error() for outcome in told]
    assert [outcome.untaken for outcome in told] == [0, 0, 0]
    assert [error.phase for error in errors] == [Phase.SENT, Phase.SENT, Phase.QUEUED]
    assert user.take_error().text == "the test says so"
    near.read()
    assert not near.peer.is_ended, "a cut message must not look like the end"
    assert near.peer.sock.recv(1) == b""


# --- ends ---


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


# --- reading ---


def test_all_records_of_one_read_are_decrypted(step: StepDispatcher, make_wire: MakeWire) -> None:
    """Else the last would wait in the TLS object for a descriptor that has nothing new."""
    user = User()
    near = encrypted(step, make_wire, user)
    for number in range(20):
        near.peer.tls.write(message(number))
    near.peer.send()
    step.run_until_idle()
    assert [user.messages.get_nowait().correlation_id for _ in range(20)] == list(range(20))
    assert near.socket.statistics().reads == 1


@pytest.mark.parametrize("then_ends", [False, True])
def test_bytes_together_with_the_end_of_the_handshake_are_read(
    step: StepDispatcher, make_wire: MakeWire, then_ends: bool
) -> None:
    user = User()
    wire = make_wire(step, layer=server_layer(), user=user)
    peer = MemoryPeer(wire.peer, certificates().client_context(), NAME)
    while True:
        try:
            peer.tls.do_handshake()
        except ssl.SSLWantReadError:
            peer.send()
            step.run_until_idle()
            peer.receive()
            continue
        break
    peer.tls.write(message(9))
    if then_ends:
        peer.finish()
    peer.send()
    step.run_until_idle()
    assert user.messages.get_nowait().correlation_id == 9
    assert user.errors.qsize() == then_ends


def test_a_peer_that_sends_a_byte_a_record_costs_no_object_a_byte(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    near = encrypted(step, make_wire, user)
    data = message(3, 1500)
    for at in range(len(data)):
        near.peer.send(data[at : at + 1])
        step.run_until_idle()
        assert near.socket._reader.buffer.block_count <= 2
    assert user.messages.get_nowait().correlation_id == 3


# --- and ---


def test_a_failed_socket_with_tls_keeps_nothing_alive(
    epoll: EventDispatcher, make_wire: MakeWire
) -> None:
    gone = threading.Event()
    wire = make_wire(epoll, user=User(), layer=client_layer())
    wire.peer = as_server(wire.peer, certificates().server_context())
    wire.peer.do_handshake()  # type: ignore[attr-defined]
    weakref.finalize(wire.socket, gone.set)
    wire.socket.close()
    wire.receive_all()
    wire.socket = Socket.to(SOMEWHERE, epoll)
    wait_until_collected(epoll, gone)


def test_repr_has_the_state_in_words(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(step, layer=client_layer())
    assert repr(wire.socket.layer) == "<TlsLayer of a client, shaking hands>"
    assert "shaking hands" in repr(wire.socket)
    assert wire.socket.tls is None
    Encrypted(wire, step)
    assert repr(wire.socket.layer).startswith("<TlsLayer of a client, TLSv1.3, TLS_AES")


def test_verification_is_off_only_if_asked_for(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    layer = ClientTls(verify=False).layer_to(SOMEWHERE)
    wire = make_wire(dispatcher, layer=layer)
    context = certificates().server_context(certificates().self_signed())
    wire.peer = as_server(wire.peer, context)
    wire.peer.do_handshake()  # type: ignore[attr-defined]
    wire.socket.start_write(IOBuf(b"trusting"))
    assert wire.receive(8) == b"trusting"
    assert wire.socket.tls is not None
    assert wire.socket.tls.peer_certificate is None
    assert wire.socket.tls.peer_certificate_der is not None
