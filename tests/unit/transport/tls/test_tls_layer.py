"""TlsLayer once its handshake is over: bytes both ways, and when a message counts as written."""

from __future__ import annotations

import random
import struct
import threading
import weakref

import pytest

from pybrpc.errors import ConnectionFailedError, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.tls.client_tls import ClientTls
from pybrpc.transport.writing.slow_peers import bytes_taken
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
    message,
    server_layer,
)
from tests.peers.tls import as_client, as_server, certificates

APPLICATION_DATA = 23


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


def test_memory_bios_stay_small(step: StepDispatcher, make_wire: MakeWire) -> None:
    """They keep the largest size that they ever had."""
    near, told = encrypted(step, make_wire, User()), Outcomes()
    layer = near.socket.layer
    most = {"_incoming": 0, "_outgoing": 0}

    class Watched:
        def __init__(self, name: str) -> None:
            self._name = name
            self._bio = getattr(layer, name)

        @property
        def pending(self) -> int:
            return int(self._bio.pending)

        def write(self, data: bytes) -> int:
            most[self._name] = max(most[self._name], self.pending + len(data))
            return int(self._bio.write(data))

        def read(self) -> bytes:
            most[self._name] = max(most[self._name], self.pending)
            return bytes(self._bio.read())

    for name in most:
        setattr(layer, name, Watched(name))
    near.write(bytes(2_000_000), told)
    assert len(near.read()) == 2_000_000
    data = message(1, 2_000_000)
    near.peer.sock.setblocking(True)
    sender = threading.Thread(target=near.peer.send, args=[data])
    sender.start()
    user: User = near.socket._user  # type: ignore[assignment]
    while not user.messages.qsize():
        step.step()
    sender.join()
    assert 16_384 < most["_incoming"] < 20_000
    assert 16_384 < most["_outgoing"] < 20_000


def test_progress_of_a_peer_that_reads_slowly_is_seen_within_a_window(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """A window is encrypted at once, and then written in many small parts."""
    near, told = encrypted(step, make_wire), Outcomes()
    near.write(bytes(200_000), told)
    step.run_until_idle()
    written = near.socket.bytes_written
    seen = [bytes_taken(near.socket)]
    while near.socket.layer.has_unsent:
        assert near.socket.bytes_written == written
        assert near.peer.receive()
        step.run_until_idle()
        seen.append(bytes_taken(near.socket))
    assert seen == sorted(set(seen))
    assert len(seen) > 5
